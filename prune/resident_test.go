package prune

import (
	"math"
	"testing"

	"prunellm/internal/tinymodel"
)

// TestResidentChangesNothing compares scores with kept weights and matmul results with scores that recompute both.
func TestResidentChangesNothing(t *testing.T) {
	model := tinymodel.Open(t, tinymodel.Options{})
	backend := pureGo(t)
	sequences := [][]int32{{3, 1, 4, 1, 5, 9, 2, 6}, {5, 3, 5, 8, 9}}
	recipe := DefaultRecipe()
	recipe.Criterion = SDM
	var all []*Scores
	for _, resident := range []bool{true, false} {
		s, err := newScorer(backend, model, recipe, resident)
		if err != nil {
			t.Fatal(err)
		}
		defer s.close()
		scores, err := s.score(t.Context(), sequences, nil)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, scores)
	}
	for layer := range all[0].Stage2 {
		for neuron, kept := range all[0].Stage2[layer] {
			// XLA or Go may fuse the same matmuls differently, so the last bits of a float32 may differ.
			if anew := all[1].Stage2[layer][neuron]; math.Abs(float64(kept-anew)) > 1e-5*math.Abs(float64(anew)) {
				t.Fatalf("layer %d, neuron %d: %g with everything kept, %g without", layer, neuron, kept, anew)
			}
		}
	}
}
