// Package tinymodel writes a small random language model as a GGUF file that llama.cpp loads, for tests. It has all shapes
// and names of a real one, a working byte-level tokenizer and a chat template, in a few hundred kilobytes.
//
// Its text is noise, but its logits have a standard deviation of one or two and depend on every weight. A comparison with
// another implementation therefore finds a wrong name, permutation or rotation. Some MLP neurons matter much more than others,
// for tests of rankings. The same options give the same bytes.
package tinymodel

import (
	"context"
	"fmt"
	"hash/fnv"
	"io"
	"math"
	"math/rand/v2"

	"prunellm/models"
	"prunellm/models/arch"
	"prunellm/models/gguf"
)

// Options describe the model. The zero value is a tied two-layer llama in F32.
type Options struct {
	Architecture string    // a GGUF name of package arch, default "llama"
	Untied       bool      // a separate output matrix
	Seed         uint64    // of the weights
	Layers       int       // default 2
	Hidden       int       // default 64
	Heads        int       // default 4
	KVHeads      int       // default 2
	HeadDim      int       // default Hidden/Heads
	FFN          []int     // width of each layer, default 96; different widths need an architecture that supports them
	Context      int       // default 512
	Vocab        int       // default and minimum: the tokenizer's tokens; no text gives additional ones
	RoPEFactors  []float32 // float32[HeadDim/2], if the architecture has RoPEFactors
	RoPEScale    float64   // factor of linear RoPE scaling, if the architecture has RoPEScaling
	Window       int       // sliding window in tokens, if the architecture can have one; it needs WindowEvery layers
	Name         string    // general.name, default "Tiny"
	Type         gguf.Type // of the matrices, default F32
	// Quantize encodes float32[rows, rowLen] of a matrix as Type; may be nil for F32, F16 and BF16.
	Quantize func(kind gguf.Type, values []float32, rowLen int) ([]byte, error)
	Keys     []gguf.KV // additional keys, which replace keys of the same name
	Without  []string  // keys to omit
}

// Config returns the model's architecture, with all defaults filled in.
func (o Options) Config() models.Config {
	pick := func(value, fallback int) int {
		if value == 0 {
			return fallback
		}
		return value
	}
	c := models.Config{
		Architecture: o.Architecture, Name: o.Name, VocabSize: max(o.Vocab, len(vocabulary())), HiddenSize: pick(o.Hidden, 64),
		Layers: pick(o.Layers, 2), Heads: pick(o.Heads, 4), KVHeads: pick(o.KVHeads, 2), FFN: o.FFN,
		ContextLength: pick(o.Context, 512), RMSEpsilon: float64(float32(1e-5)), RoPEBase: 10000, RoPEFactors: o.RoPEFactors,
		TiedEmbeddings: !o.Untied, Window: o.Window, RoPEScale: o.RoPEScale,
	}
	if c.Architecture == "" {
		c.Architecture = "llama"
	}
	if c.Name == "" {
		c.Name = "Tiny"
	}
	c.HeadDim = pick(o.HeadDim, c.HiddenSize/c.Heads)
	c.RoPEDim = c.HeadDim
	if c.FFN == nil {
		for range c.Layers {
			c.FFN = append(c.FFN, 96)
		}
	}
	row, _ := arch.Named(c.Architecture)
	c.AttentionBias, c.QKNorm, c.RoPELayout, c.FusedQKV = row.AttentionBias, row.QKNorm, row.RoPE, row.FusedQKV
	c.PostNorms = row.PostNorms
	return c
}

// Write writes the model to path.
func Write(path string, o Options) error {
	config := o.Config()
	if _, ok := arch.Named(config.Architecture); !ok {
		return fmt.Errorf("tiny model: architecture %q has no row in package arch", config.Architecture)
	}
	if err := config.Validate(); err != nil {
		return fmt.Errorf("tiny model: %w", err)
	}
	var tensors []gguf.Source
	for _, tensor := range config.FileTensors() {
		tensors = append(tensors, o.tensor(config, tensor))
	}
	return gguf.Write(context.Background(), path, o.keys(config), tensors)
}

func (o Options) tensor(config models.Config, tensor models.FileTensor) gguf.Source {
	shape := tensor.Shape
	kind := gguf.F32
	if len(shape) == 2 {
		kind = o.Type
	}
	return gguf.Source{Name: tensor.Name, Type: kind, Shape: shape, Write: func(_ context.Context, w io.Writer) error {
		encode := o.Quantize
		if len(shape) != 2 || encode == nil {
			encode = func(kind gguf.Type, values []float32, _ int) ([]byte, error) { return gguf.EncodeFloats(kind, values) }
		}
		for _, slot := range tensor.Parts {
			err := o.weights(config, slot, config.TensorShape(slot.Role, slot.Layer), func(values []float32) error {
				raw, err := encode(kind, values, shape[len(shape)-1])
				if err != nil {
					return err
				}
				_, err = w.Write(raw)
				return err
			})
			if err != nil {
				return err
			}
		}
		return nil
	}}
}

// chunkValues is the approximate number of values in memory at a time, so that memory does not grow with the model.
const chunkValues = 1 << 20

// weights draws float32[shape...] and passes it to emit in groups of whole rows. Every tensor has its own random stream, so that
// it does not depend on the others.
func (o Options) weights(config models.Config, slot models.Slot, shape []int, emit func([]float32) error) error {
	if slot.Role == models.RoPEFreqs {
		return emit(config.RoPEFactors)
	}
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(slot.Name())) // a hash never fails
	random := rand.New(rand.NewPCG(o.Seed, hash.Sum64()))
	rowLen := shape[len(shape)-1]
	mean, deviation := 0.0, 1.2/math.Sqrt(float64(rowLen))
	switch {
	case slot.Role == models.TokenEmbedding || slot.Role == models.Output:
		deviation = 2 / math.Sqrt(float64(config.HiddenSize)) // gives logits a standard deviation of 2
	case slot.Role == models.AttnQBias || slot.Role == models.AttnKBias || slot.Role == models.AttnVBias:
		deviation = 0.3
	case len(shape) == 1: // norms
		mean, deviation = 1, 0.2
	}
	row, _ := arch.Named(config.Architecture)
	onGrid := row.NormOffset && len(shape) == 1 // then adding 1 and subtracting it again is exact
	rows := 1
	if len(shape) == 2 {
		rows = shape[0]
	}
	var scales *rand.Rand
	if slot.Role == models.FFNUp { // scales of neurons, drawn after all values
		scales = rand.New(rand.NewPCG(o.Seed, hash.Sum64()))
		for range rows * rowLen {
			scales.NormFloat64()
		}
	}
	step := max(1, chunkValues/rowLen)
	values := make([]float32, 0, min(step, rows)*rowLen)
	for from := 0; from < rows; from += step {
		values = values[:0]
		for range min(step, rows-from) {
			scale := float32(1)
			if scales != nil {
				scale = float32(math.Exp(scales.NormFloat64()))
			}
			for range rowLen {
				value := scale * float32(mean+deviation*random.NormFloat64())
				if onGrid {
					value = float32(math.Round(float64(value)*256)) / 256
				}
				values = append(values, value)
			}
		}
		if err := emit(values); err != nil {
			return err
		}
	}
	return nil
}
