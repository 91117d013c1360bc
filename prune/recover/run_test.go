package recover_test

import (
	"math"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/gomlx/gomlx/backends"
	"github.com/gomlx/gomlx/backends/simplego"

	"prunellm/internal/tinymodel"
	"prunellm/models"
	"prunellm/prune"
	"prunellm/prune/recover"
)

// goBackend is gomlx's pure-Go backend: enough for a tiny model, and there without any plugin.
func goBackend(t testing.TB) backends.Backend {
	t.Helper()
	backend, err := simplego.New("ops_sequential") // the default hangs with few cores
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(backend.Finalize)
	return backend
}

// tiny is a dense tiny model and a pruned form of it.
func tiny(t testing.TB, options tinymodel.Options) (dense, slim models.Weights) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tiny.gguf")
	if err := tinymodel.Write(path, options); err != nil {
		t.Fatal(err)
	}
	model, err := models.OpenGGUF(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = model.Close() })
	return model, half(t, model)
}

// half keeps every other neuron, and one more block of 32 in the first layer than in the others.
func half(t testing.TB, dense models.Weights) models.Weights {
	t.Helper()
	config := dense.Config()
	plan := &prune.Plan{Dense: config.FFN}
	for layer, width := range config.FFN {
		var kept []int
		for neuron := 0; neuron < width; neuron++ {
			if neuron%2 == 0 || layer == 0 && neuron >= width-64 {
				kept = append(kept, neuron)
			}
		}
		plan.Kept = append(plan.Kept, kept)
	}
	slim, err := prune.Pruned(dense, plan, nil)
	if err != nil {
		t.Fatal(err)
	}
	return slim
}

// randomSequences are n sequences of length random tokens.
func randomSequences(vocab, n, length int) [][]int32 {
	random := rand.New(rand.NewPCG(7, 8))
	sequences := make([][]int32, n)
	for i := range sequences {
		sequences[i] = make([]int32, length)
		for j := range sequences[i] {
			sequences[i][j] = int32(random.IntN(vocab))
		}
	}
	return sequences
}

func TestRunGains(t *testing.T) {
	for _, train := range []recover.Train{recover.MLP, recover.LoRA, recover.All} {
		t.Run(string(train), func(t *testing.T) {
			dense, slim := tiny(t, tinymodel.Options{})
			sequences := randomSequences(dense.Config().VocabSize, 12, 24)
			result, err := recover.Run(t.Context(), goBackend(t), dense, slim, sequences, recover.Options{
				Train: train, Tokens: 24 * 60, LearningRate: 1e-3, Evaluations: 4, HeldOut: 2,
			}, nil)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("before %+v, after %+v, curve %+v", result.Before, result.After, result.Curve)
			if !result.Better() || !(result.After.KL < 0.97*result.Before.KL) {
				t.Errorf("held-out KL went from %g to %g, want below 0.97 of it", result.Before.KL, result.After.KL)
			}
			if len(result.Curve) != 5 || result.Steps != 60 || result.Tokens != 24*60 || result.Stopped != "" {
				t.Errorf("result is %+v, want 5 evaluations after 60 steps", result)
			}
			if math.IsNaN(result.Before.CrossEntropy) {
				t.Error("cross entropy is not a number")
			}
		})
	}
}
