package prune

import (
	"testing"

	"github.com/gomlx/gomlx/backends"
	"github.com/gomlx/gomlx/backends/simplego"

	"prunellm/models"
)

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
