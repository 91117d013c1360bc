//go:build cgo

package prune

import (
	"math"
	"testing"

	"github.com/gomlx/gomlx/backends"

	"prunellm/internal/eigen"
	"prunellm/internal/tinymodel"
	"prunellm/models/llama"
)

// ownMemory is a backend that reports 80 GiB of its own memory, like a GPU's.
type ownMemory struct{ backends.Backend }

func (ownMemory) FreeMemory() int64 { return 80 << 30 }

// The code for a device with its own memory gives the same results as the code for the machine's own memory. It runs whole
// sequences through the head, runs several programs concurrently and sums in float64.
func TestDeviceWithItsOwnMemory(t *testing.T) {
	backend := pluginBackend(t)
	model := tinymodel.Open(t, tinymodel.Options{})
	var sequences [][]int32
	total := 0
	for i, length := range []int{40, 5, 37, 40, 39} {
		tokens := make([]int32, length)
		total += length
		for j := range tokens {
			tokens[j] = int32(3 + (i*61+j*j*7+j*13)%200)
		}
		sequences = append(sequences, tokens)
	}
	near := func(what string, got, want float64) {
		t.Helper()
		if !(math.Abs(got-want) <= 1e-4*math.Abs(want)+1e-9) {
			t.Errorf("%s: %g, want %g", what, got, want)
		}
	}
	for _, criterion := range []Criterion{SDM, SDM2, Fisher} {
		recipe := DefaultRecipe()
		recipe.Criterion, recipe.Precision = criterion, llama.Float32
		want, err := Score(t.Context(), backend, model, sequences, recipe, nil)
		if err != nil {
			t.Fatal(err)
		}
		done := 0
		got, err := Score(t.Context(), ownMemory{backend}, model, sequences, recipe, func(p Progress) { done = p.Done })
		if err != nil {
			t.Fatal(err)
		}
		if done != total {
			t.Errorf("%s: progress ended at %d tokens of %d", criterion, done, total)
		}
		for i := range want.Loss1 {
			near("cross entropy", got.Loss1[i].CrossEntropy, want.Loss1[i].CrossEntropy)
		}
		for i := range want.Loss2 {
			near("KL", got.Loss2[i].KL, want.Loss2[i].KL)
		}
		for layer := range want.Stage2 {
			for neuron := range want.Stage2[layer] {
				near(string(criterion), float64(got.Stage2[layer][neuron]), float64(want.Stage2[layer][neuron]))
			}
		}
	}
	plan := somePlan(t, model)
	refit := func(backend backends.Backend, algebra LinearAlgebra) [][]float32 {
		t.Helper()
		options := ReconstructOptions{Precision: llama.Float32, Algebra: algebra}
		down, err := Reconstruct(t.Context(), backend, model, plan, sequences, options, nil)
		if err != nil {
			t.Fatal(err)
		}
		return down
	}
	// XLA solves least squares if there is no Algebra, and always on a device.
	want := refit(backend, nil)
	for name, got := range map[string][][]float32{
		"its own memory": refit(ownMemory{backend}, eigen.Algebra{}),
		"Eigen":          refit(backend, eigen.Algebra{}),
	} {
		for layer := range want {
			var diff, norm float64
			for i := range want[layer] {
				d := float64(got[layer][i] - want[layer][i])
				diff, norm = diff+d*d, norm+float64(want[layer][i])*float64(want[layer][i])
			}
			if !(math.Sqrt(diff/norm) < 1e-3) {
				t.Errorf("%s, layer %d: refitted weights differ by %g", name, layer, math.Sqrt(diff/norm))
			}
		}
	}
}

// TestRefitFromKeptStates compares refits with and without the hidden states of the scores.
func TestRefitFromKeptStates(t *testing.T) {
	model := tinymodel.Open(t, tinymodel.Options{Layers: 3})
	backend := pureGo(t)
	sequences := [][]int32{{3, 1, 4, 1, 5, 9, 2, 6}, {5, 3, 5, 8, 9}, {7, 9, 3, 2, 3, 8, 4}, {6, 2, 6, 4, 3}}
	for _, criterion := range []Criterion{Fisher, SDM} {
		recipe := DefaultRecipe()
		recipe.Criterion = criterion
		scores, hidden, err := ScoreKeeping(t.Context(), backend, model, sequences, recipe, nil)
		if err != nil {
			t.Fatal(err)
		}
		if !hidden.of(sequences) || hidden.of(sequences[1:]) || (*Hidden)(nil).of(sequences) {
			t.Fatal("the kept states do not belong to the sequences")
		}
		plan, err := MakePlan(model.Config(), scores.Stage2, 0.1, Uniform)
		if err != nil {
			t.Fatal(err)
		}
		want, err := Reconstruct(t.Context(), backend, model, plan, sequences, ReconstructOptions{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Reconstruct(t.Context(), backend, model, plan, sequences, ReconstructOptions{Hidden: hidden}, nil)
		if err != nil {
			t.Fatal(err)
		}
		for layer := range want {
			for i := range want[layer] {
				if d := math.Abs(float64(got[layer][i] - want[layer][i])); d > 1e-4 {
					t.Fatalf("%s, layer %d, weight %d: %g from kept states, want %g", criterion, layer, i, got[layer][i], want[layer][i])
				}
			}
		}
		if hidden.of(sequences) {
			t.Error("used states were not freed")
		}
		hidden.Release()
		hidden.Release()
	}
	if newHidden(model.Config(), sequences, 1000) != nil {
		t.Error("states beyond the budget are kept")
	}
}
