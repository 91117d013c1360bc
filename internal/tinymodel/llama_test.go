//go:build cgo

package tinymodel_test

import (
	"maps"
	"math"
	"path/filepath"
	"testing"

	"github.com/ollama/ollama/llama"
	"github.com/ollama/ollama/ml"

	"prunellm/convert/ggmlquant"
	"prunellm/internal/tinymodel"
	"prunellm/models/gguf"
)

// decode loads the file with llama.cpp and returns the logits after the text.
func decode(t *testing.T, path, text string) []float32 {
	t.Helper()
	llama.BackendInit()
	model, err := llama.LoadModelFromFile(path, llama.ModelParams{UseMmap: true})
	if err != nil {
		t.Fatalf("load %s: %v", path, err)
	}
	defer llama.FreeModel(model)
	context, err := llama.NewContextWithModel(model, llama.NewContextParams(256, 64, 1, 1, ml.FlashAttentionDisabled, "f32"))
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := model.Tokenize(text, false, true)
	if err != nil || len(tokens) < 2 {
		t.Fatalf("tokenize %q: %v, %v", text, tokens, err)
	}
	batch, err := llama.NewBatch(64, 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer batch.Free()
	for i, token := range tokens {
		batch.Add(token, nil, i, i == len(tokens)-1, 0)
	}
	if err := context.Decode(batch); err != nil {
		t.Fatal(err)
	}
	logits := context.GetLogitsIth(len(tokens) - 1)
	if len(logits) != model.NumVocab() {
		t.Fatalf("%d logits for %d tokens", len(logits), model.NumVocab())
	}
	return logits
}

func TestLoadsInLlamaCpp(t *testing.T) {
	factors := []float32{1, 1, 1, 2, 4, 8, 8, 8}
	tests := tinymodel.PerArchitecture()
	maps.Copy(tests, map[string]tinymodel.Options{
		"untied":  {Untied: true, Type: gguf.F16},
		"bf16":    {Type: gguf.BF16},
		"q8_0":    {Type: gguf.Q8_0, Quantize: ggmlquant.Quantize},
		"factors": {RoPEFactors: factors},
	})
	for name, options := range tests {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "tiny.gguf")
			if err := tinymodel.Write(path, options); err != nil {
				t.Fatal(err)
			}
			logits := decode(t, path, "<|im_start|>user\nthe bear said hello in 1999<|im_end|>\n")
			var sum, squares float64
			for _, v := range logits {
				sum += float64(v)
				squares += float64(v) * float64(v)
			}
			n := float64(len(logits))
			deviation := math.Sqrt(squares/n - sum*sum/n/n)
			if !(deviation > 0.5 && deviation < 5) {
				t.Errorf("standard deviation of the logits is %g, want 0.5 to 5", deviation)
			}
		})
	}
}
