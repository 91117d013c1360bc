//go:build cgo

package arch_test

import (
	"testing"

	"github.com/ollama/ollama/llama"

	"prunellm/convert"
	"prunellm/internal/tinymodel"
)

// loads reports whether llama.cpp loads the file at path.
func loads(path string) error {
	model, err := llama.LoadModelFromFile(path, llama.ModelParams{UseMmap: true})
	if err != nil {
		return err
	}
	llama.FreeModel(model)
	return nil
}

// llama.cpp loads a model of every row, both dense and pruned to widths that the row allows.
func TestRowLoadsInLlamaCpp(t *testing.T) {
	llama.BackendInit()
	for name, options := range tinymodel.PerArchitecture() {
		t.Run(name, func(t *testing.T) {
			model := write(t, options)
			if err := loads(model.Path()); err != nil {
				t.Fatalf("dense: %v", err)
			}
			widths := []int{32, 32}
			if convert.TakesWidths(options.Config()) {
				widths = []int{64, 32}
			}
			slim, err := prune(t, model, widths...)
			if err != nil {
				t.Fatal(err)
			}
			if err := loads(slim.Path()); err != nil {
				t.Errorf("pruned to %v: %v", widths, err)
			}
		})
	}
}
