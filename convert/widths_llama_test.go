//go:build cgo

package convert_test

import (
	"path/filepath"
	"testing"

	"github.com/ollama/ollama/llama"

	"prunellm/convert"
	"prunellm/internal/tinymodel"
)

// Loading decides which budgets an architecture can have: llama.cpp takes a model whose layers differ in width exactly
// where TakesWidths says so, for llama under the name that Slim gives it.
func TestTakesWidthsIsWhatLoads(t *testing.T) {
	llama.BackendInit()
	for _, architecture := range []string{"llama", "deci", "qwen2", "qwen3"} {
		written := architecture
		if architecture == "llama" {
			written = "deci"
		}
		path := filepath.Join(t.TempDir(), architecture+".gguf")
		if err := tinymodel.Write(path, tinymodel.Options{Architecture: written, FFN: []int{96, 64}}); err != nil {
			t.Fatal(err)
		}
		model, err := llama.LoadModelFromFile(path, llama.ModelParams{UseMmap: true})
		if err == nil {
			llama.FreeModel(model)
		}
		if loads := err == nil; loads != convert.TakesWidths(architecture) {
			t.Errorf("TakesWidths(%s) = %v, but loading such a model gives %v", architecture, !loads, err)
		}
	}
}
