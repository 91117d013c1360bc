//go:build cgo

package convert_test

import (
	"path/filepath"
	"testing"

	"github.com/ollama/ollama/llama"

	"prunellm/convert"
	"prunellm/internal/tinymodel"
	"prunellm/models/arch"
)

// llama.cpp loads a model with different widths, as the architecture that Slim writes, if and only if TakesWidths
// reports true.
func TestTakesWidthsIsWhatLoads(t *testing.T) {
	llama.BackendInit()
	for _, row := range arch.Rows() {
		written := row.Name
		if row.PerLayer != "" {
			written = row.PerLayer
		}
		path := filepath.Join(t.TempDir(), row.Name+".gguf")
		if err := tinymodel.Write(path, tinymodel.Options{Architecture: written, FFN: []int{96, 64}}); err != nil {
			t.Fatal(err)
		}
		model, err := llama.LoadModelFromFile(path, llama.ModelParams{UseMmap: true})
		if err == nil {
			llama.FreeModel(model)
		}
		if loads := err == nil; loads != convert.TakesWidths(tinymodel.Options{Architecture: row.Name}.Config()) {
			t.Errorf("TakesWidths(%s) = %v, but loading such a model gives %v", row.Name, !loads, err)
		}
	}
}
