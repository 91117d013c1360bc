package convert

import (
	"fmt"

	"prunellm/models"
	"prunellm/models/gguf"
)

// Codec holds the functions that know ggml's block formats; those of convert/ggmlquant fit. With nil functions plain
// floats alone can be converted. Both must be safe for concurrent use.
type Codec struct {
	// Dequantize turns the bytes of n values into float32[n].
	Dequantize models.Dequantizer
	// Quantize turns float32[rows, rowLen] into bytes of the given type.
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
