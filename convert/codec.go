package convert

import (
	"fmt"

	"prunellm/models"
	"prunellm/models/gguf"
)

// Codec holds the functions that convert ggml's block formats, such as those of convert/ggmlquant. If a function is
// nil, only plain floats can be converted in that direction. Both must be safe for concurrent use.
type Codec struct {
	// Dequantize decodes the bytes of n values to float32[n].
	Dequantize models.Dequantizer
	// Quantize encodes float32[rows, rowLen] as bytes of the given type.
	Quantize func(kind gguf.Type, values []float32, rowLen int) ([]byte, error)
}

func (c Codec) decode(kind gguf.Type, raw []byte, n int) ([]float32, error) {
	return models.DequantizeWith(c.Dequantize, kind, raw, n)
}

func (c Codec) encode(kind gguf.Type, values []float32, rowLen int) ([]byte, error) {
	if c.Quantize != nil {
		return c.Quantize(kind, values, rowLen)
	}
	if kind.Quantized() {
		return nil, fmt.Errorf("%w: type %s needs a quantizer", models.ErrUnsupported, kind)
	}
	return gguf.EncodeFloats(kind, values)
}
