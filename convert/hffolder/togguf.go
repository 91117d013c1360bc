package hffolder

import (
	"context"
	"fmt"
	"io"
	"path/filepath"

	"prunellm/internal/regularfile"
	"prunellm/models"
	"prunellm/models/arch"
	"prunellm/models/gguf"
	"prunellm/models/safetensors"
)

var ggufTypes = map[safetensors.DType]gguf.Type{safetensors.F32: gguf.F32, safetensors.F16: gguf.F16, safetensors.BF16: gguf.BF16}

// fileTypeNumbers maps the type of a file's matrices to the value of general.file_type.
var fileTypeNumbers = map[gguf.Type]uint32{gguf.F32: 0, gguf.F16: 1, gguf.BF16: 32}

// ToGGUF converts the model in a safetensors folder to a GGUF file at path. The same folder gives the same bytes.
// ToGGUF is atomic: if it fails, path keeps its old content.
func ToGGUF(ctx context.Context, dir, path string) error {
	wrap := func(err error) error { return fmt.Errorf("convert folder %q: %w", dir, err) }
	data, err := regularfile.Read(filepath.Join(dir, configFile), maxConfigBytes)
	if err != nil {
		return wrap(err)
	}
	config, raw, err := parseConfig(data, filepath.Base(dir))
	if err != nil {
		return wrap(fmt.Errorf("%s: %w", configFile, err))
	}
	weights, err := openShards(dir)
	if err != nil {
		return wrap(err)
	}
	defer weights.Close()
	if err := weights.check(config); err != nil {
		return wrap(err)
	}
	vocabulary, err := readVocabulary(dir, raw, config.VocabSize)
	if err != nil {
		return wrap(err)
	}
	keys := append(configKeys(config), gguf.KV{Key: "general.file_type", Value: weights.fileType(config)})
	keys = append(keys, vocabulary.keys()...)
	var tensors []gguf.Source
	for _, slot := range config.Slots() {
		tensors = append(tensors, weights.source(config, slot))
	}
	return gguf.Write(ctx, path, keys, tensors)
}

// fileType returns the value of general.file_type for the type of the embedding.
func (s *shards) fileType(c models.Config) uint32 {
	return fileTypeNumbers[ggufTypes[s.tensors[tensorName(c, models.Slot{Role: models.TokenEmbedding})].info.DType]]
}

// source returns a Source that streams one tensor. A matrix has the folder's type, a vector F32.
func (s *shards) source(c models.Config, slot models.Slot) gguf.Source {
	shape := c.TensorShape(slot.Role, slot.Layer)
	out := gguf.Source{Name: slot.Name(), Type: gguf.F32, Shape: shape}
	if slot.Role == models.RoPEFreqs {
		out.Write = func(_ context.Context, w io.Writer) error { return writeFloats(w, c.RoPEFactors) }
		return out
	}
	from := s.tensors[tensorName(c, slot)]
	reorder := c.RoPELayout == arch.RoPEPairs && c.RotatedHeads(slot.Role) > 0
	if len(shape) == 1 {
		out.Write = func(_ context.Context, w io.Writer) error {
			values, _, err := from.file.Float32s(from.info.Name)
			if err != nil {
				return err
			}
			addTo(values, -normOffset(c, slot.Role))
			raw, err := gguf.EncodeFloats(gguf.F32, values)
			if err != nil {
				return err
			}
			if reorder {
				raw = changeLayout(raw, gguf.F32.TypeSize(), arch.RoPEHalves, c.HeadDim)
			}
			_, err = w.Write(raw)
			return err
		}
		return out
	}
	out.Type = ggufTypes[from.info.DType]
	out.Write = func(ctx context.Context, w io.Writer) error {
		if !reorder {
			_, err := io.Copy(w, &contextReader{ctx, from.file.Data(from.info)})
			return err
		}
		raw := make([]byte, from.info.Size)
		if _, err := io.ReadFull(from.file.Data(from.info), raw); err != nil {
			return err
		}
		_, err := w.Write(changeLayout(raw, shape[1]*out.Type.TypeSize(), arch.RoPEHalves, c.HeadDim))
		return err
	}
	return out
}

// addTo adds a number to each value.
func addTo(values []float32, x float32) {
	for i := range values {
		values[i] += x
	}
}

// contextReader is a reader that returns the context's error once the context ends.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

func writeFloats(w io.Writer, values []float32) error {
	raw, err := gguf.EncodeFloats(gguf.F32, values)
	if err != nil {
		return err
	}
	_, err = w.Write(raw)
	return err
}

// configKeys returns the keys of GGUF metadata that describe the architecture.
func configKeys(c models.Config) []gguf.KV {
	p := c.Architecture + "."
	keys := []gguf.KV{
		{Key: "general.architecture", Value: c.Architecture},
		{Key: "general.type", Value: "model"},
		{Key: "general.name", Value: c.Name},
		{Key: p + "block_count", Value: uint32(c.Layers)},
		{Key: p + "context_length", Value: uint32(c.ContextLength)},
		{Key: p + "embedding_length", Value: uint32(c.HiddenSize)},
		{Key: p + "feed_forward_length", Value: uint32(c.FFN[0])},
		{Key: p + "attention.head_count", Value: uint32(c.Heads)},
		{Key: p + "attention.head_count_kv", Value: uint32(c.KVHeads)},
		{Key: p + "attention.key_length", Value: uint32(c.HeadDim)},
		{Key: p + "attention.value_length", Value: uint32(c.HeadDim)},
		{Key: p + "attention.layer_norm_rms_epsilon", Value: float32(c.RMSEpsilon)},
		{Key: p + "rope.freq_base", Value: float32(c.RoPEBase)},
		{Key: p + "rope.dimension_count", Value: uint32(c.RoPEDim)},
		{Key: p + "vocab_size", Value: uint32(c.VocabSize)},
	}
	if c.RoPEScale > 0 {
		keys = append(keys, gguf.KV{Key: p + "rope.scaling.type", Value: "linear"}, gguf.KV{Key: p + "rope.scaling.factor", Value: float32(c.RoPEScale)})
	}
	if c.Window > 0 {
		keys = append(keys, gguf.KV{Key: p + "attention.sliding_window", Value: uint32(c.Window)})
	}
	return keys
}
