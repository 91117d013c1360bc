package prune

import (
	"path/filepath"
	"testing"

	"github.com/gomlx/gomlx/backends"
	"github.com/gomlx/gomlx/backends/simplego"

	"prunellm/internal/tinymodel"
	"prunellm/models"
)

// randomModel writes a tiny random model and opens it.
func randomModel(t testing.TB, options tinymodel.Options) models.Weights {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tiny.gguf")
	if err := tinymodel.Write(path, options); err != nil {
		t.Fatal(err)
	}
	model, err := models.OpenGGUF(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { model.Close() })
	return model
}

// pureGo is gomlx's backend without a plugin.
func pureGo(t *testing.T) backends.Backend {
	t.Helper()
	backend, err := simplego.New("ops_sequential")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(backend.Finalize)
	return backend
}

// somePlan removes 15% of a model, the same from each layer.
func somePlan(t *testing.T, model models.Weights) *Plan {
	t.Helper()
	scores, err := magnitude(t.Context(), model)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := MakePlan(model.Config(), scores, 0.15, Uniform)
	if err != nil {
		t.Fatal(err)
	}
	return plan
}
