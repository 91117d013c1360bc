//go:build cgo

package prune_test

import (
	"log/slog"
	"path/filepath"
	"slices"
	"testing"

	"github.com/gomlx/gomlx/backends"

	"prunellm/internal/reuse"
	"prunellm/models/llama"
	"prunellm/prune"
)

// fastBackend and slowBackend override whether bfloat16 is fast.
type fastBackend struct{ backends.Backend }

func (fastBackend) FastBFloat16() bool { return true }

type slowBackend struct{ backends.Backend }

func (slowBackend) FastBFloat16() bool { return false }

func TestPrecisionOfRecipes(t *testing.T) {
	tests := []struct {
		criterion prune.Criterion
		precision llama.Precision
		backend   backends.Backend
		want      llama.Precision
	}{
		{prune.Fisher, llama.AutoPrecision, fastBackend{}, llama.BFloat16},
		{prune.SDM2, llama.AutoPrecision, fastBackend{}, llama.BFloat16},
		{prune.Taylor, llama.AutoPrecision, fastBackend{}, llama.BFloat16},
		{prune.Magnitude, llama.AutoPrecision, fastBackend{}, llama.BFloat16},
		{prune.SDM, llama.AutoPrecision, fastBackend{}, llama.Float32},
		{prune.FisherSDM, llama.AutoPrecision, fastBackend{}, llama.Float32},
		{prune.SDM, llama.BFloat16, fastBackend{}, llama.BFloat16},
		{prune.Fisher, llama.Float32, fastBackend{}, llama.Float32},
		{prune.Fisher, llama.AutoPrecision, slowBackend{}, llama.Float32},
		{prune.Fisher, llama.AutoPrecision, nil, llama.Float32},
		{prune.Fisher, llama.BFloat16, nil, llama.BFloat16},
	}
	for _, tt := range tests {
		if got := (prune.Recipe{Criterion: tt.criterion, Precision: tt.precision}).PrecisionOn(tt.backend); got != tt.want {
			t.Errorf("%s with precision %q on %T is %q, want %q", tt.criterion, tt.precision, tt.backend, got, tt.want)
		}
	}
}

// TestFisherInMixedPrecision compares the default criterion's kept sets in both precisions on the real model. They may differ
// only for neurons at the edge.
func TestFisherInMixedPrecision(t *testing.T) {
	weights, backend, tokens := defaultModel(t), testBackend(t), readOracle(t).Tokens
	kept := map[llama.Precision]*prune.Plan{}
	for _, precision := range []llama.Precision{llama.Float32, llama.BFloat16} {
		recipe := prune.DefaultRecipe()
		recipe.Criterion, recipe.Precision = prune.Fisher, precision
		scores, err := prune.Score(t.Context(), backend, weights, tokens, recipe, nil)
		if err != nil {
			t.Fatal(err)
		}
		if kept[precision], err = prune.MakePlan(weights.Config(), scores.Stage2, 0.2, prune.Uniform); err != nil {
			t.Fatal(err)
		}
	}
	worst := 1.0
	for layer, want := range kept[llama.Float32].Kept {
		same := 0
		for _, neuron := range kept[llama.BFloat16].Kept[layer] {
			if _, ok := slices.BinarySearch(want, neuron); ok {
				same++
			}
		}
		worst = min(worst, float64(same)/float64(len(want)))
	}
	t.Logf("smallest overlap %.4f", worst)
	if worst < 0.98 {
		t.Errorf("kept sets overlap by %.4f in the worst layer, want 0.98", worst)
	}
}

// TestRefitInMixedPrecision refits with the dense model's states from the scores, without states, and with those that the
// second refit stored in a file. All results must be equal.
func TestRefitInMixedPrecision(t *testing.T) {
	weights, backend := defaultModel(t), testBackend(t)
	tokens := readOracle(t).Tokens
	sequences := [][]int32{tokens[0][:64], tokens[0][64:128], tokens[1][:64], tokens[1][64:120]}
	recipe := prune.DefaultRecipe()
	recipe.Criterion, recipe.Precision = prune.Fisher, llama.BFloat16
	scores, hidden, err := prune.ScoreKeeping(t.Context(), backend, weights, sequences, recipe, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer hidden.Release()
	plan, err := prune.MakePlan(weights.Config(), scores.Stage2, 0.2, prune.Uniform)
	if err != nil {
		t.Fatal(err)
	}
	var all [][][]float32
	file := &prune.StateFile{File: reuse.File{Path: filepath.Join(t.TempDir(), "states"), Folder: t.TempDir(), Identity: "default bf16"}}
	for _, options := range []prune.ReconstructOptions{{Hidden: hidden}, {States: file}, {States: file}} {
		options.Ridge, options.Precision, options.Log = 0.1, recipe.Precision, slog.New(slog.NewTextHandler(t.Output(), nil))
		down, err := prune.Reconstruct(t.Context(), backend, weights, plan, sequences, options, nil)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, down)
	}
	for layer := range all[0] {
		if !slices.Equal(all[0][layer], all[1][layer]) {
			t.Fatalf("layer %d is refitted differently with the states of the scores and without", layer)
		}
		if !slices.Equal(all[0][layer], all[2][layer]) {
			t.Fatalf("layer %d is refitted differently with states from a file", layer)
		}
	}
}
