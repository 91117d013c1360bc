package llamacpp

import (
	"math"
	"slices"
	"testing"

	"prunellm/convert/ggmlquant"
	"prunellm/infer"
	"prunellm/internal/tinymodel"
	"prunellm/models/gguf"
)

// allLogits decodes the tokens in one batch and returns a copy of the logits of each.
func allLogits(t *testing.T, m *Model, tokens int) [][]float32 {
	t.Helper()
	entries := make([]infer.Entry, tokens)
	for i := range entries {
		entries[i] = infer.Entry{Token: infer.Token((i*i*31 + 5) % m.VocabSize()), Position: i, Logits: true}
	}
	decode(t, m, entries...)
	out := make([][]float32, tokens)
	for i := range out {
		out[i] = slices.Clone(m.Logits(i))
	}
	return out
}

// superBlocks are the shapes for types whose rows are a multiple of 256 values.
var superBlocks = map[string]tinymodel.Options{
	"even rows": {Hidden: 256, FFN: []int{2304, 2304}},
	// 24 rows of keys and values: in ggml's groups of eight the last panel is half full.
	"odd rows": {Hidden: 256, Heads: 96, KVHeads: 3, HeadDim: 8, FFN: []int{512, 512}, Vocab: 411},
}

// Matmuls with quantized weights equal those with the same weights as floats, except that activations are rounded to eight
// bits. The rounding changes these random logits by 3%, with ggml's own functions and with ours. Rows in the wrong order would
// change them by more than 100%.
func TestMatmulsWithQuantizedWeights(t *testing.T) {
	const tokens, tolerance = 150, 0.05 // tokens: more than a panel takes at a time
	for _, kind := range []gguf.Type{gguf.Q8_0, gguf.Q4_0, gguf.Q4_1, gguf.Q5_0, gguf.Q5_1, gguf.Q4_K, gguf.Q5_K, gguf.Q6_K} {
		for name, shape := range map[string]tinymodel.Options{
			"even rows": {Hidden: 256, FFN: []int{2112, 2112}}, // more blocks than are dequantized at a time
			"odd rows":  {Hidden: 160, Heads: 5, KVHeads: 1, FFN: []int{352, 352}, Vocab: 411},
		} {
			if kind.BlockSize() == 256 {
				shape = superBlocks[name]
			}
			t.Run(kind.String()+" "+name, func(t *testing.T) {
				quantized, floats := shape, shape
				quantized.Type = kind
				floats.Quantize = func(_ gguf.Type, values []float32, rowLen int) ([]byte, error) {
					raw, err := ggmlquant.Quantize(kind, values, rowLen)
					if err != nil {
						return nil, err
					}
					if values, err = ggmlquant.Dequantize(kind, raw, len(values)); err != nil {
						return nil, err
					}
					return gguf.EncodeFloats(gguf.F32, values)
				}
				options := Options{ContextSize: 512, Threads: 2}
				got := allLogits(t, open(t, tiny(t, quantized), options), tokens)
				want := allLogits(t, open(t, tiny(t, floats), options), tokens)
				var squares, difference float64
				for i := range want {
					for j, w := range want[i] {
						squares += float64(w) * float64(w)
						d := float64(got[i][j] - w)
						difference += d * d
					}
				}
				relative := math.Sqrt(difference / squares)
				t.Logf("relative difference %.4f", relative)
				if !(relative < tolerance) {
					t.Errorf("logits differ by %g of their size, want less than %g", relative, tolerance)
				}
			})
		}
	}
}
