package variant

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"prunellm/convert"
	"prunellm/models"
	"prunellm/models/gguf"
	"prunellm/models/safetensors"
	"prunellm/prune"
)

// DownPacker quantizes refitted down_proj matrices to the precision of the variant's file. Bytes returns them as a
// safetensors file with one tensor U8[hidden, bytes of a row] per layer. The metadata has the tensor's GGUF type under
// the tensor's name. Quantizing dequantized values gives the same bytes again. The packer keeps only the quantized form
// in memory.
type DownPacker struct {
	model    *models.GGUF
	fileType convert.FileType
	codec    convert.Codec
	sources  []safetensors.Source
	types    map[string]string
}

// NewDownPacker returns an empty packer for a variant of a model.
func NewDownPacker(model *models.GGUF, fileType convert.FileType, codec convert.Codec) *DownPacker {
	return &DownPacker{model: model, fileType: fileType, codec: codec, types: map[string]string{}}
}

// Add quantizes one layer's matrix, float32[hidden, width]. It returns the values as the variant's file will round
// them. The caller must add all layers in order, starting with layer 0.
func (p *DownPacker) Add(layer int, values []float32) (rounded []float32, err error) {
	config := p.model.Config()
	if layer != len(p.sources) {
		return nil, fmt.Errorf("down of layer %d after %d layers", layer, len(p.sources))
	}
	name := models.TensorName(models.FFNDown, layer)
	width := len(values) / config.HiddenSize
	info, ok := p.model.File().Tensor(name)
	if !ok || width == 0 || len(values) != width*config.HiddenSize {
		return nil, fmt.Errorf("down of layer %d: %d values for hidden size %d", layer, len(values), config.HiddenSize)
	}
	kind := p.fileType.DownType(config, layer, width, info.Type)
	packed, err := pack(p.codec, storedType(kind), values, width)
	if err != nil {
		return nil, fmt.Errorf("down of layer %d: %w", layer, err)
	}
	p.types[name] = storedType(kind).String()
	p.sources = append(p.sources, safetensors.Source{
		Name: name, DType: safetensors.U8, Shape: []int{config.HiddenSize, len(packed) / config.HiddenSize},
		Write: func(_ context.Context, w io.Writer) error { _, err := w.Write(packed); return err },
	})
	return p.round(kind, packed, len(values), width)
}

// round dequantizes n packed values in rows of rowLen. It also rounds them to kind, the type in the variant's file.
func (p *DownPacker) round(kind gguf.Type, packed []byte, n, rowLen int) ([]float32, error) {
	values, err := models.DequantizeWith(p.codec.Dequantize, storedType(kind), packed, n)
	if err != nil || kind == storedType(kind) {
		return values, err
	}
	if packed, err = pack(p.codec, kind, values, rowLen); err != nil {
		return nil, err
	}
	return models.DequantizeWith(p.codec.Dequantize, kind, packed, n)
}

// Grid returns the function that rounds a layer's matrix of the given width to its type in the file. It returns nil for
// types whose rounding error is negligible, and for types whose blocks do not have prune.GridBlock values.
func (p *DownPacker) Grid(layer, width int) prune.Grid {
	info, ok := p.model.File().Tensor(models.TensorName(models.FFNDown, layer))
	if !ok {
		return nil
	}
	kind := p.fileType.DownType(p.model.Config(), layer, width, info.Type)
	switch kind {
	case gguf.Q4_0, gguf.Q4_1, gguf.Q5_0, gguf.Q5_1:
	default:
		return nil
	}
	return func(columns []float32) ([]float32, error) {
		packed, err := pack(p.codec, kind, columns, prune.GridBlock)
		if err != nil {
			return nil, err
		}
		return models.DequantizeWith(p.codec.Dequantize, kind, packed, len(columns))
	}
}

// Bytes returns the stored form of all layers. It returns an error if some layers are missing.
func (p *DownPacker) Bytes() ([]byte, error) {
	if len(p.sources) != p.model.Config().Layers {
		return nil, fmt.Errorf("down of %d layers instead of %d", len(p.sources), p.model.Config().Layers)
	}
	return safetensors.EncodeSources(p.sources, p.types)
}

// storedType returns the type in which to store values of type kind. It is kind itself if quantizing dequantized values
// gives the same bytes again. K-quants do not have that property, so their values are stored as f16 and quantized only
// when the file is assembled.
func storedType(kind gguf.Type) gguf.Type {
	if kind.BlockSize() > 32 {
		return gguf.F16
	}
	return kind
}

func pack(codec convert.Codec, kind gguf.Type, values []float32, rowLen int) ([]byte, error) {
	if !kind.Quantized() {
		return gguf.EncodeFloats(kind, values)
	}
	return codec.Quantize(kind, values, rowLen)
}

// downTensor finds one layer's matrix and checks that it has the size of kind[hidden, width].
func downTensor(file *safetensors.File, config models.Config, layer, width int) (info safetensors.Info, kind gguf.Type, err error) {
	name := models.TensorName(models.FFNDown, layer)
	if info, err = file.Tensor(name); err != nil {
		return info, 0, err
	}
	if kind, err = gguf.ParseType(file.Metadata[name]); err != nil {
		return info, 0, fmt.Errorf("tensor %q: %w", name, err)
	}
	want, err := kind.Size(int64(config.HiddenSize) * int64(width))
	if err != nil || width%kind.BlockSize() != 0 || info.Size != want {
		return info, 0, fmt.Errorf("tensor %q has %d bytes instead of %d of type %s", name, info.Size, want, kind)
	}
	return info, kind, nil
}

// CheckDown returns an error unless the stored matrices fit the plan and all their values are finite.
func CheckDown(value []byte, config models.Config, plan *prune.Plan, codec convert.Codec) error {
	unpack, err := UnpackDown(value, config, plan, codec)
	if err != nil {
		return err
	}
	for layer := range plan.Widths() {
		if _, err := unpack(layer); err != nil {
			return err
		}
	}
	return nil
}

// UnpackDown returns a function that dequantizes one layer's matrix, float32[hidden, width]. The function returns nil
// for layers before the first one that loses neurons, because the file copies their matrices from the source without
// quantizing them again.
func UnpackDown(value []byte, config models.Config, plan *prune.Plan, codec convert.Codec) (func(layer int) ([]float32, error), error) {
	file, err := safetensors.Parse(bytes.NewReader(value), int64(len(value)))
	if err != nil {
		return nil, fmt.Errorf("refitted down: %w", err)
	}
	widths := plan.Widths()
	return func(layer int) ([]float32, error) {
		info, kind, err := downTensor(file, config, layer, widths[layer])
		if err != nil {
			return nil, fmt.Errorf("refitted down: %w", err)
		}
		if layer < plan.Untouched() {
			return nil, nil
		}
		raw := make([]byte, info.Size)
		if _, err := io.ReadFull(file.Data(info), raw); err != nil {
			return nil, fmt.Errorf("refitted down: layer %d: %w", layer, err)
		}
		down, err := models.DequantizeWith(codec.Dequantize, kind, raw, config.HiddenSize*widths[layer])
		if err != nil {
			return nil, fmt.Errorf("refitted down: layer %d: %w", layer, err)
		}
		if i := nonFinite(down); i >= 0 {
			return nil, fmt.Errorf("refitted down: layer %d: value %d is %v", layer, i, down[i])
		}
		return down, nil
	}, nil
}

func nonFinite(values []float32) int {
	for i, v := range values {
		if v-v != 0 {
			return i
		}
	}
	return -1
}
