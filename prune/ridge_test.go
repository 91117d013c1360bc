package prune_test

import (
	"math/rand/v2"
	"testing"

	"prunellm/internal/tinymodel"
	"prunellm/prune"
)

// randomSequences returns n sequences of random tokens.
func randomSequences(seed uint64, n, length int) [][]int32 {
	random := rand.New(rand.NewPCG(seed, 3))
	sequences := make([][]int32, n)
	for i := range sequences {
		for range length {
			sequences[i] = append(sequences[i], 3+random.Int32N(200))
		}
	}
	return sequences
}

// With fewer calibration tokens than neurons a weak ridge fits their noise. Held-out sequences detect this and select a ridge
// that fits unseen text better.
func TestHeldOutSequencesChooseTheRidge(t *testing.T) {
	model, backend := tinymodel.Open(t, tinymodel.Options{}), goBackend(t)
	calibration, unseen := randomSequences(1, 8, 8), randomSequences(2, 2, 24)
	plan := halfPlan(t, model.Config())
	distance := func(options prune.ReconstructOptions) float64 {
		down, err := prune.Reconstruct(t.Context(), backend, model, plan, calibration, options, nil)
		if err != nil {
			t.Fatal(err)
		}
		pruned, err := prune.Pruned(model, plan, down)
		if err != nil {
			t.Fatal(err)
		}
		return logitDistance(t, backend, model, pruned, unseen)
	}
	weak, chosen := distance(prune.ReconstructOptions{Ridge: 1e-4}), distance(prune.ReconstructOptions{})
	if !(chosen < 0.9*weak) {
		t.Errorf("squared distance of the logits on unseen text is %g with the chosen ridge and %g with a weak one, want less than 0.9 of it", chosen, weak)
	}
}
