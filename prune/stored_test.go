package prune_test

import (
	"math"
	"slices"
	"testing"

	"github.com/gomlx/gomlx/backends"

	"prunellm/internal/tinymodel"
	"prunellm/models"
	"prunellm/models/llama"
	"prunellm/prune"
)

// logitDistance returns the sum over sequences of the squared differences of two models' logits.
func logitDistance(t *testing.T, backend backends.Backend, a, b models.Weights, sequences [][]int32) (sum float64) {
	t.Helper()
	logits := func(weights models.Weights, tokens []int32) [][]float32 {
		all, err := llama.Logits(t.Context(), backend, weights, tokens)
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	for _, tokens := range sequences {
		want, got := logits(a, tokens), logits(b, tokens)
		for i := range want {
			for j := range want[i] {
				d := float64(want[i][j] - got[i][j])
				sum += d * d
			}
		}
	}
	return sum
}

// Later layers compensate for the rounding of those before them if Emit returns the stored values.
func TestReconstructFitsStoredValues(t *testing.T) {
	model, backend := tinymodel.Open(t, tinymodel.Options{Layers: 6}), goBackend(t)
	calibration, plan := randomSequences(1, 8, 40), halfPlan(t, model.Config())
	round := func(down []float32) []float32 {
		top := float64(max(slices.Max(down), -slices.Min(down)))
		out := make([]float32, len(down))
		for i, v := range down {
			out[i] = float32(math.Round(float64(v)/top*3) / 3 * top)
		}
		return out
	}
	distance := func(told bool) float64 {
		rounded := make([][]float32, model.Config().Layers)
		_, err := prune.Reconstruct(t.Context(), backend, model, plan, calibration, prune.ReconstructOptions{
			Ridge: 0.01,
			Emit: func(layer int, down []float32) ([]float32, error) {
				rounded[layer] = round(down)
				if told {
					return rounded[layer], nil
				}
				return down, nil
			},
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
		pruned, err := prune.Pruned(model, plan, rounded)
		if err != nil {
			t.Fatal(err)
		}
		return logitDistance(t, backend, model, pruned, calibration[:2])
	}
	told, untold := distance(true), distance(false)
	t.Logf("squared distance with known rounding %g, with unknown rounding %g", told, untold)
	if !(told < 0.9*untold) {
		t.Errorf("squared distance of the logits is %g with known rounding and %g with unknown, want less than 0.9 of it", told, untold)
	}
}

// A refit with a grid rounds with it, so that it emits the stored values.
func TestReconstructRoundsByTheGrid(t *testing.T) {
	model, backend := tinymodel.Open(t, tinymodel.Options{}), goBackend(t)
	calibration, plan := randomSequences(1, 8, 40), halfPlan(t, model.Config())
	grid := func(values []float32) ([]float32, error) {
		out := make([]float32, len(values))
		for i, v := range values {
			out[i] = float32(math.Round(float64(v)*64) / 64)
		}
		return out, nil
	}
	layers := 0
	_, err := prune.Reconstruct(t.Context(), backend, model, plan, calibration, prune.ReconstructOptions{
		Grid: func(int, int) prune.Grid { return grid },
		Emit: func(layer int, values []float32) ([]float32, error) {
			layers++
			rounded, err := grid(values)
			if !slices.Equal(rounded, values) {
				t.Errorf("layer %d is not on the grid", layer)
			}
			return rounded, err
		},
	}, nil)
	if err != nil || layers != model.Config().Layers {
		t.Errorf("%d layers, %v", layers, err)
	}
}
