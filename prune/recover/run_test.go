package recover_test

import (
	"bytes"
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/gomlx/gomlx/backends"
	"github.com/gomlx/gomlx/backends/simplego"

	"prunellm/internal/tinymodel"
	"prunellm/models"
	"prunellm/models/llama"
	"prunellm/prune"
	"prunellm/prune/recover"
)

// goBackend returns gomlx's pure-Go backend: fast enough for a tiny model, and it needs no plugin.
func goBackend(t testing.TB) backends.Backend {
	t.Helper()
	backend, err := simplego.New("ops_sequential") // the default hangs with few cores
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(backend.Finalize)
	return backend
}

// tiny returns a dense tiny model and a pruned form of it.
func tiny(t testing.TB, options tinymodel.Options) (dense, slim models.Weights) {
	t.Helper()
	model := tinymodel.Open(t, options)
	return model, half(t, model)
}

// half returns a model with every other neuron, and one more block of 32 in the first layer than in the others.
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

// randomSequences returns n sequences of length random tokens.
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

// quick returns the options of a training that takes a second.
func quick() recover.Options {
	return recover.Options{Tokens: 24 * 20, LearningRate: 1e-3, Evaluations: 2, HeldOut: 2, Seed: 3}
}

// A training that is interrupted and resumed from its checkpoint gives the same weights as an uninterrupted one.
func TestRunResumes(t *testing.T) {
	for _, train := range []recover.Train{recover.MLP, recover.LoRA} {
		t.Run(string(train), func(t *testing.T) {
			dense, slim := tiny(t, tinymodel.Options{})
			sequences := randomSequences(dense.Config().VocabSize, 8, 24)
			backend := goBackend(t)
			options := quick()
			options.Train = train
			whole, err := recover.Run(t.Context(), backend, dense, slim, sequences, options, nil)
			if err != nil || !whole.Better() {
				t.Fatalf("Run = %+v, %v, want a gain", whole, err)
			}
			options.Folder, options.Checkpoint = t.TempDir(), time.Nanosecond
			for _, end := range []int{3, 14} { // before and after the evaluation in the middle
				ctx, cancel := context.WithCancel(t.Context())
				_, err := recover.Run(ctx, backend, dense, slim, sequences, options, func(p recover.Progress) {
					if p.Step == end {
						cancel()
					}
				})
				if !errors.Is(err, context.Canceled) {
					t.Fatalf("Run = %v, want it canceled", err)
				}
			}
			first := 0
			resumed, err := recover.Run(t.Context(), backend, dense, slim, sequences, options, func(p recover.Progress) {
				if first == 0 {
					first = p.Step
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			if first != 14 { // step 14 ran but was not saved
				t.Errorf("the resumed training began with step %d, want 14", first)
			}
			if resumed.After != whole.After || len(resumed.Curve) != len(whole.Curve) {
				t.Errorf("resumed: after %+v, whole: %+v", resumed.After, whole.After)
			}
			for slot, values := range whole.Weights {
				if !slices.Equal(values, resumed.Weights[slot]) {
					t.Errorf("%s differs after resuming", slot.Name())
				}
			}
		})
	}
}

// A damaged checkpoint, or one of another training, is ignored and changes nothing.
func TestRunIgnoresOtherCheckpoints(t *testing.T) {
	dense, slim := tiny(t, tinymodel.Options{})
	sequences := randomSequences(dense.Config().VocabSize, 8, 24)
	backend := goBackend(t)
	options := quick()
	options.Folder, options.Checkpoint = t.TempDir(), time.Nanosecond
	run := func() (result *recover.Result, first int) {
		t.Helper()
		result, err := recover.Run(t.Context(), backend, dense, slim, sequences, options, func(p recover.Progress) {
			if first == 0 {
				first = p.Step
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		return result, first
	}
	want, _ := run()
	options.Identity = "another"
	if got, first := run(); first != 1 || got.After != want.After {
		t.Errorf("with another training's checkpoint: first step %d, after %+v, want 1 and %+v", first, got.After, want.After)
	}
	path := filepath.Join(options.Folder, "state.safetensors")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, damaged := range map[string][]byte{
		"cut": data[:len(data)/2], "empty": {}, "no description": bytes.Replace(data, []byte(`\"steps\"`), []byte(`\"stepz\"`), 1),
	} {
		if err := os.WriteFile(path, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		if got, _ := run(); got.After != want.After {
			t.Errorf("%s checkpoint: after %+v, want %+v", name, got.After, want.After)
		}
	}
	options.Folder = filepath.Join(path, "below") // path is a file, so every write fails
	if got, first := run(); first != 1 || got.After != want.After {
		t.Errorf("without a writable folder: first step %d, after %+v, want 1 and %+v", first, got.After, want.After)
	}
}

// A training whose steps are far too large stops, and keeps the best weights.
func TestRunStopsDivergence(t *testing.T) {
	dense, slim := tiny(t, tinymodel.Options{})
	sequences := randomSequences(dense.Config().VocabSize, 8, 24)
	options := quick()
	options.LearningRate, options.Tokens, options.Evaluations = 1, 24*1000, 200
	result, err := recover.Run(t.Context(), goBackend(t), dense, slim, sequences, options, nil)
	if err != nil {
		t.Fatal(err)
	}
	if result.Stopped == "" || result.Steps > 500 {
		t.Errorf("result is %+v, want an early stop", result)
	}
	if result.After.KL > result.Before.KL || result.Better() != (result.After.KL < result.Before.KL) {
		t.Errorf("after divergence: KL %g before, %g after, better %v", result.Before.KL, result.After.KL, result.Better())
	}
}

// Run evaluates held-out sequences on weights rounded as in the file type.
func TestRunRounds(t *testing.T) {
	dense, slim := tiny(t, tinymodel.Options{})
	sequences := randomSequences(dense.Config().VocabSize, 8, 24)
	options := quick()
	options.Round = func(_ models.Role, _ int, values []float32, _ int) ([]float32, error) {
		return make([]float32, len(values)), nil
	}
	result, err := recover.Run(t.Context(), goBackend(t), dense, slim, sequences, options, nil)
	if err != nil {
		t.Fatal(err)
	}
	if result.Better() || result.After != result.Before {
		t.Errorf("weights that round to zero gained: %+v", result)
	}
}

func TestRunRefuses(t *testing.T) {
	dense, slim := tiny(t, tinymodel.Options{})
	backend := goBackend(t)
	long := randomSequences(dense.Config().VocabSize, 2, 8)
	outside := [][]int32{{1, 2}, {1, int32(dense.Config().VocabSize)}}
	for name, run := range map[string]struct {
		sequences [][]int32
		change    func(*recover.Options)
		want      error
	}{
		"no text":            {nil, func(*recover.Options) {}, recover.ErrTooLittle},
		"one sequence":       {long[:1], func(*recover.Options) {}, recover.ErrTooLittle},
		"token out of range": {outside, func(*recover.Options) {}, llama.ErrTokens},
		"one token":          {[][]int32{{1}, {1}}, func(*recover.Options) {}, llama.ErrTokens},
		"no end":             {long, func(o *recover.Options) { o.Tokens = 0 }, nil},
		"learning rate":      {long, func(o *recover.Options) { o.LearningRate = math.NaN() }, nil},
		"train":              {long, func(o *recover.Options) { o.Train = "x" }, nil},
	} {
		options := quick()
		run.change(&options)
		_, err := recover.Run(t.Context(), backend, dense, slim, run.sequences, options, nil)
		if err == nil || run.want != nil && !errors.Is(err, run.want) {
			t.Errorf("%s: Run = %v, want an error (%v)", name, err, run.want)
		}
	}
}

// A training ends by the time of the given clock.
func TestRunEndsByTime(t *testing.T) {
	dense, slim := tiny(t, tinymodel.Options{})
	sequences := randomSequences(dense.Config().VocabSize, 8, 24)
	now := time.Unix(0, 0)
	options := quick()
	options.Tokens, options.Duration = 0, 10*time.Second
	options.Now = func() time.Time { return now }
	result, err := recover.Run(t.Context(), goBackend(t), dense, slim, sequences, options, func(recover.Progress) { now = now.Add(time.Second) })
	if err != nil {
		t.Fatal(err)
	}
	if result.Steps != 10 || result.Elapsed != 10*time.Second {
		t.Errorf("%d steps in %s, want 10 in 10 s", result.Steps, result.Elapsed)
	}
}
