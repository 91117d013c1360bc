package prune_test

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"prunellm/internal/tinymodel"
	"prunellm/models"
	"prunellm/models/llama"
	"prunellm/prune"
)

// halfPlan keeps every second neuron of each layer.
func halfPlan(t *testing.T, config models.Config) *prune.Plan {
	t.Helper()
	plan := &prune.Plan{Dense: config.FFN}
	for _, width := range config.FFN {
		var kept []int
		for neuron := 0; neuron < width; neuron += 2 {
			kept = append(kept, neuron)
		}
		plan.Kept = append(plan.Kept, kept)
	}
	if err := plan.Check(config); err != nil {
		t.Fatal(err)
	}
	return plan
}

// The same inputs give the same bytes: scores, plan and refit.
func TestPruneIsDeterministic(t *testing.T) {
	model, backend := tinymodel.Open(t, tinymodel.Options{}), goBackend(t)
	run := func() (out []byte) {
		scores, err := prune.Score(t.Context(), backend, model, tinySequences, recipeFor(prune.FisherSDM), nil)
		if err != nil {
			t.Fatal(err)
		}
		plan, err := prune.MakePlan(model.Config(), scores.Stage2, 0.15, prune.Global)
		if err != nil {
			t.Fatal(err)
		}
		down, err := prune.Reconstruct(t.Context(), backend, model, plan, tinySequences, prune.ReconstructOptions{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		out = append(scoreBytes(t, scores), plan.Encode()...)
		for _, values := range down {
			if out, err = binary.Append(out, binary.LittleEndian, values); err != nil {
				t.Fatal(err)
			}
		}
		return out
	}
	if !slices.Equal(run(), run()) {
		t.Error("the same inputs gave different bytes")
	}
}

// With the Fisher score on the distillation loss, both stages have an effect, and the neurons of the sliver score zero in the
// second.
func TestFisherSDM(t *testing.T) {
	model, backend := tinymodel.Open(t, tinymodel.Options{}), goBackend(t)
	score := func(criterion prune.Criterion) *prune.Scores {
		scores, err := prune.Score(t.Context(), backend, model, tinySequences, recipeFor(criterion), nil)
		if err != nil {
			t.Fatal(err)
		}
		return scores
	}
	plain, distilled := score(prune.Fisher), score(prune.FisherSDM)
	for layer := range plain.Stage1 {
		if !slices.Equal(plain.Stage1[layer], distilled.Stage1[layer]) {
			t.Errorf("layer %d: the first stages differ", layer)
		}
		if slices.Equal(plain.Stage2[layer], distilled.Stage2[layer]) {
			t.Errorf("layer %d: the second stage repeats the first", layer)
		}
		if !slices.Contains(distilled.Stage2[layer], 0) {
			t.Errorf("layer %d: no neuron of the sliver scores 0", layer)
		}
	}
}

// If the kept neurons were never active, the system is singular and the old weights stay.
func TestReconstructOfSilentLayer(t *testing.T) {
	model, backend := tinymodel.Open(t, tinymodel.Options{}), goBackend(t)
	silent := changed{model, func(role models.Role, layer int, values []float32, _ []int) {
		if role == models.FFNUp && layer == 1 {
			clear(values)
		}
	}}
	plan := halfPlan(t, model.Config())
	down, err := prune.Reconstruct(t.Context(), backend, silent, plan, tinySequences, prune.ReconstructOptions{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	cut, err := prune.Pruned(silent, plan, nil)
	if err != nil {
		t.Fatal(err)
	}
	want, _, err := cut.Tensor(models.FFNDown, 1)
	if err != nil {
		t.Fatal(err)
	}
	for i, value := range down[1] {
		if math.Abs(float64(value-want[i])) > 1e-6 {
			t.Fatalf("weight %d became %g, want %g as before", i, value, want[i])
		}
	}
}

func TestReconstructRefuses(t *testing.T) {
	model, backend := tinymodel.Open(t, tinymodel.Options{}), goBackend(t)
	damaged := changed{model, func(role models.Role, layer int, values []float32, _ []int) {
		if role == models.FFNGate && layer == 1 {
			values[0] = float32(math.NaN())
		}
	}}
	plan := halfPlan(t, model.Config())
	tests := map[string]struct {
		weights   models.Weights
		sequences [][]int32
		want      error
		names     string
	}{
		"nan in gate":            {damaged, tinySequences, prune.ErrNotFinite, "layer 1"},
		"outside the vocabulary": {model, [][]int32{{1, 1 << 20}}, llama.ErrTokens, "1048576"},
		"no sequences":           {model, nil, llama.ErrTokens, "no calibration"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := prune.Reconstruct(t.Context(), backend, test.weights, plan, test.sequences, prune.ReconstructOptions{}, nil)
			if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.names) {
				t.Errorf("error = %v, want %v naming %q", err, test.want, test.names)
			}
		})
	}
}

// The error for invalid inputs of a refit names their cause.
func TestReconstructRefusesPlan(t *testing.T) {
	model, backend := tinymodel.Open(t, tinymodel.Options{}), goBackend(t)
	plan := halfPlan(t, model.Config())
	short := *plan
	short.Kept = plan.Kept[:1]
	want := short.Check(model.Config())
	if want == nil {
		t.Fatal("a plan of one layer fits a model of two")
	}
	_, err := prune.Reconstruct(t.Context(), backend, model, &short, tinySequences, prune.ReconstructOptions{}, nil)
	if err == nil || !strings.Contains(err.Error(), want.Error()) {
		t.Errorf("error = %v, want %v", err, want)
	}
}
