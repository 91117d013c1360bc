//go:build cgo

package llama_test

import (
	"context"
	"io"
	"log/slog"
	"maps"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/gomlx/gomlx/backends"
	cpp "github.com/ollama/ollama/llama"
	"github.com/ollama/ollama/ml"

	"prunellm/convert/ggmlquant"
	"prunellm/internal/tinymodel"
	"prunellm/internal/xla"
	"prunellm/internal/xla/xlatest"
	"prunellm/models"
	"prunellm/models/arch"
	"prunellm/models/gguf"
	"prunellm/models/llama"
)

// needResource fails the test in CI and skips it elsewhere.
func needResource(t testing.TB, err error) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("missing resource: %v", err)
	}
	t.Skipf("missing resource (make setup fetches it): %v", err)
}

func xlaBackend(t testing.TB) backends.Backend {
	t.Helper()
	backend, err := xla.Open(slog.Default(), xlatest.Options(os.Getenv))
	if err != nil {
		needResource(t, err)
	}
	t.Cleanup(backend.Finalize)
	return backend
}

// llamacppLogits returns llama.cpp's logits of every token. It turns off flash attention, which would also sum in
// float16.
func llamacppLogits(t *testing.T, path string, tokens []int32) [][]float32 {
	t.Helper()
	cpp.BackendInit()
	model, err := cpp.LoadModelFromFile(path, cpp.ModelParams{UseMmap: true})
	if err != nil {
		t.Fatal(err)
	}
	defer cpp.FreeModel(model)
	size := (len(tokens) + 127) / 128 * 128 // of the context and of the batch
	context, err := cpp.NewContextWithModel(model, cpp.NewContextParams(size, size, 1, 2, ml.FlashAttentionDisabled, ""))
	if err != nil {
		t.Fatal(err)
	}
	batch, err := cpp.NewBatch(size, 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer batch.Free()
	for i, token := range tokens {
		batch.Add(int(token), nil, i, true, 0)
	}
	if err := context.Decode(batch); err != nil {
		t.Fatal(err)
	}
	logits := make([][]float32, len(tokens))
	for i := range logits {
		logits[i] = append([]float32(nil), context.GetLogitsIth(i)...)
	}
	return logits
}

// compareLogits checks two things. The root mean square of the difference must be below a fraction of the logits'
// standard deviation. The most likely token must be the same wherever its lead exceeds the tolerance.
//
// The tolerance is for llama.cpp's rounding, not for this graph's. llama.cpp's attention rounds queries, keys, values
// and softmax weights to float16, no matter of what type the weights are. With the same four roundings in the graph,
// the tiny models differ by 4e-4 to 7e-4 instead of 1e-3 to 3e-3. Thirty layers amplify the difference. A wrong name,
// permutation or rotation gives at least 0.1.
func compareLogits(t *testing.T, got, want [][]float32) {
	t.Helper()
	const tolerance = 2e-2
	worst, agree := 0.0, 0
	for i := range want {
		if len(got[i]) != len(want[i]) {
			t.Fatalf("token %d has %d logits, want %d", i, len(got[i]), len(want[i]))
		}
		var sum, squares, diff float64
		top, topWant := 0, 0
		for j := range want[i] {
			g, w := float64(got[i][j]), float64(want[i][j])
			sum += w
			squares += w * w
			diff += (g - w) * (g - w)
			if got[i][j] > got[i][top] {
				top = j
			}
			if want[i][j] > want[i][topWant] {
				topWant = j
			}
		}
		n := float64(len(want[i]))
		deviation := math.Sqrt(squares/n - sum*sum/n/n)
		worst = max(worst, math.Sqrt(diff/n)/deviation)
		if top == topWant || float64(want[i][topWant]-want[i][top]) < 10*tolerance*deviation {
			agree++
		}
	}
	t.Logf("largest relative difference %.2e", worst)
	if !(worst < tolerance) || len(got) != len(want) {
		t.Errorf("logits differ by %g of their deviation, want less than %g", worst, tolerance)
	}
	if agree != len(want) {
		t.Errorf("%d of %d tokens have another most likely successor", len(want)-agree, len(want))
	}
}

func TestLogitsAgainstLlamaCpp(t *testing.T) {
	backend := xlaBackend(t)
	tests := tinymodel.PerArchitecture()
	maps.Copy(tests, map[string]tinymodel.Options{
		"untied":    {Untied: true},
		"factors":   {RoPEFactors: []float32{1, 1, 1, 2, 4, 8, 8, 8}},
		"wide head": {HeadDim: 32},
		"llama 3":   {HeadDim: 32, Untied: true, RoPEFactors: []float32{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1.5, 2.5, 4, 8, 8, 8}},
		"one group": {KVHeads: 1}, // all query heads share keys and values
		"no groups": {KVHeads: 4},
	})
	for _, row := range arch.Rows() {
		if row.UnrotatedEvery > 0 {
			tests[row.Name+" unrotated"] = tinymodel.Options{Architecture: row.Name, Layers: row.UnrotatedEvery + 1}
		}
		if row.WindowEvery > 0 {
			options := tinymodel.Options{Architecture: row.Name, Layers: row.WindowEvery + 1, Window: 32, RoPEScale: 8}
			options.Keys = []gguf.KV{{Key: row.Name + ".rope.freq_base", Value: float32(1e6)}} // of the layer without a window
			tests[row.Name+" window"] = options
		}
		if n := row.HiddenScaleLayers; n > 0 {
			tests[row.Name+" hidden scale"] = tinymodel.Options{Architecture: row.Name, Layers: n, HeadDim: 32}
		}
	}
	for name, options := range tests {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "tiny.gguf")
			if err := tinymodel.Write(path, options); err != nil {
				t.Fatal(err)
			}
			model, err := models.OpenGGUF(path, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer model.Close()
			tokens := make([]int32, 100)
			for i := range tokens {
				tokens[i] = int32(3 + i*i*31%200)
			}
			got, err := llama.Logits(t.Context(), backend, model, tokens)
			if err != nil {
				t.Fatal(err)
			}
			compareLogits(t, got, llamacppLogits(t, path, tokens))
		})
	}
}

// TestRealLogitsAgainstLlamaCpp compares the two engines on float32 copies of the default model and of the models in
// PRUNELLM_TEST_MODELS, so that both have the same weights. A text for a model with a sliding window exceeds the window.
func TestRealLogitsAgainstLlamaCpp(t *testing.T) {
	if testing.Short() {
		t.Skip("writes a float32 copy of the default model")
	}
	backend := xlaBackend(t)
	paths := filepath.SplitList(os.Getenv("PRUNELLM_TEST_MODELS")) // scripts/test-models sets it
	for _, source := range append(paths, filepath.Join(os.Getenv("PRUNELLM_HOME"), "models", "SmolLM2-135M-Instruct.Q4_1.gguf")) {
		t.Run(filepath.Base(source), func(t *testing.T) {
			model, err := models.OpenGGUF(source, ggmlquant.Dequantize)
			if err != nil {
				needResource(t, err)
			}
			defer model.Close()
			path := filepath.Join(t.TempDir(), "float32.gguf")
			writeFloat32(t, path, model.File())

			tokens := textTokens(t, path, max(96, model.Config().Window+64))
			got, err := llama.Logits(t.Context(), backend, model, tokens)
			if err != nil {
				t.Fatal(err)
			}
			compareLogits(t, got, llamacppLogits(t, path, tokens))
		})
	}
}

// textTokens returns the first tokens of a page by a model's own tokenizer. Some models compute noise without the token that
// begins a text.
func textTokens(t *testing.T, path string, count int) []int32 {
	t.Helper()
	text, err := os.ReadFile("../../docs/understand/pruning.md")
	if err != nil {
		t.Fatal(err)
	}
	cpp.BackendInit()
	model, err := cpp.LoadModelFromFile(path, cpp.ModelParams{UseMmap: true, VocabOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer cpp.FreeModel(model)
	ids, err := model.Tokenize(string(text), model.AddBOSToken(), false)
	if err != nil || len(ids) < count {
		t.Fatalf("%d tokens, want %d: %v", len(ids), count, err)
	}
	tokens := make([]int32, count)
	for i := range tokens {
		tokens[i] = int32(ids[i]) //nolint:gosec // below the vocabulary's size
	}
	return tokens
}

// writeFloat32 copies a GGUF file and converts all tensors to F32.
func writeFloat32(t *testing.T, path string, file *gguf.File) {
	t.Helper()
	var tensors []gguf.Source
	for _, info := range file.Tensors {
		tensors = append(tensors, gguf.Source{
			Name: info.Name, Type: gguf.F32, Shape: info.Shape,
			Write: func(_ context.Context, w io.Writer) error {
				raw, err := file.ReadTensor(info)
				if err != nil {
					return err
				}
				values, err := models.DequantizeWith(ggmlquant.Dequantize, info.Type, raw, int(info.Elements()))
				if err != nil {
					return err
				}
				if raw, err = gguf.EncodeFloats(gguf.F32, values); err != nil {
					return err
				}
				_, err = w.Write(raw)
				return err
			},
		})
	}
	if err := gguf.Write(t.Context(), path, file.KVs, tensors); err != nil {
		t.Fatal(err)
	}
}
