package prune

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/backends"

	"prunellm/internal/reuse"
	"prunellm/internal/tinymodel"
	"prunellm/models"
	"prunellm/models/llama"
)

var statesSequences = [][]int32{{3, 1, 4, 1, 5, 9, 2, 6}, {5, 3, 5, 8, 9}, {7, 9, 3, 2, 3, 8, 4}, {6, 2, 6, 4, 3}}

func stateFile(t testing.TB) *StateFile {
	dir := t.TempDir()
	return &StateFile{reuse.File{Path: filepath.Join(dir, "states"), Folder: dir, Identity: "tiny f32"}}
}

// scoredStates returns the scores of statesSequences and their hidden states.
func scoredStates(t *testing.T, backend backends.Backend, model models.Weights) (*Scores, *Hidden) {
	t.Helper()
	recipe := DefaultRecipe()
	recipe.Criterion = Fisher
	scores, hidden, err := ScoreKeeping(t.Context(), backend, model, statesSequences, recipe, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(hidden.Release)
	return scores, hidden
}

// A refit stores the states that it computed or received. Later refits give the same result with them, even if the file is
// damaged.
func TestRefitFromStateFile(t *testing.T) {
	model, backend := tinymodel.Open(t, tinymodel.Options{Layers: 3}), pureGo(t)
	scores, hidden := scoredStates(t, backend, model)
	plan, err := MakePlan(model.Config(), scores.Stage2, 0.1, Uniform)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	refit := func(o ReconstructOptions) [][]float32 {
		t.Helper()
		log.Reset()
		o.Log = slog.New(slog.NewTextHandler(&log, nil))
		down, err := Reconstruct(t.Context(), backend, model, plan, statesSequences, o, nil)
		if err != nil {
			t.Fatal(err)
		}
		return down
	}
	want := refit(ReconstructOptions{})
	check := func(what string, o ReconstructOptions, warning string) {
		t.Helper()
		if got := refit(o); !slices.EqualFunc(got, want, slices.Equal[[]float32]) {
			t.Errorf("%s: another result", what)
		}
		if warning == "" && log.Len() > 0 || !strings.Contains(log.String(), warning) {
			t.Errorf("%s: log is %q, want %q in it", what, log.String(), warning)
		}
	}
	computed, given := stateFile(t), stateFile(t)
	check("computed", ReconstructOptions{States: computed}, "")
	check("read", ReconstructOptions{States: computed}, "")
	check("given", ReconstructOptions{Hidden: hidden, States: given}, "")
	one, _ := os.ReadFile(computed.Path)
	other, err := os.ReadFile(given.Path)
	if err != nil || !bytes.Equal(one, other) {
		t.Errorf("the states of a refit and those of the scores are stored differently (%v)", err)
	}
	if found, _ := filepath.Glob(filepath.Join(computed.Folder, "states-*")); len(found) > 0 {
		t.Errorf("left over: %v", found)
	}

	// A refit does not rewrite a file that it uses, so the file's time does not change.
	before, err := os.Stat(computed.Path)
	if err != nil {
		t.Fatal(err)
	}
	check("read again", ReconstructOptions{States: computed}, "")
	if after, err := os.Stat(computed.Path); err != nil || !os.SameFile(before, after) {
		t.Error("the file was not used")
	}

	damaged := slices.Clone(one)
	damaged[len(damaged)/2] ^= 1
	for what, content := range map[string][]byte{
		"damaged": damaged, "cut": one[:len(one)-1], "longer": append(slices.Clone(one), 0), "cut to its head": one[:60],
	} {
		if err := os.WriteFile(computed.Path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		check(what, ReconstructOptions{States: computed}, "stored hidden states are unusable")
		if mended, _ := os.ReadFile(computed.Path); !bytes.Equal(mended, one) {
			t.Errorf("%s: the file was not rewritten", what)
		}
	}
	for what, content := range map[string][]byte{"empty": nil, "foreign": []byte(strings.Repeat("x", 500))} {
		if err := os.WriteFile(computed.Path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		check(what, ReconstructOptions{States: computed}, "")
	}
	check("of another model", ReconstructOptions{States: &StateFile{reuse.File{Path: computed.Path, Folder: computed.Folder, Identity: "other"}}}, "")
	check("nowhere to write", ReconstructOptions{States: &StateFile{reuse.File{Path: computed.Path, Folder: "/nonexistent", Identity: "tiny f32"}}}, "cannot store hidden states")
}

// States belong to one text.
func TestStateFileIsOfOneText(t *testing.T) {
	model, backend := tinymodel.Open(t, tinymodel.Options{Layers: 1}), pureGo(t)
	_, hidden := scoredStates(t, backend, model)
	file, config := stateFile(t), model.Config()
	if _, err := file.load(config, statesSequences); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a file: %v", err)
	}
	if err := file.save(t.Context(), config, hidden, nil); err != nil {
		t.Fatal(err)
	}
	found, err := file.load(config, statesSequences)
	if err != nil {
		t.Fatal(err)
	}
	found.Release()
	for _, others := range [][][]int32{statesSequences[1:], slices.Concat(statesSequences, statesSequences[:1]), nil} {
		if _, err := file.load(config, others); !errors.Is(err, reuse.ErrOther) {
			t.Errorf("%d sequences for %d: %v", len(others), len(statesSequences), err)
		}
	}
}

// Layers before the first that loses neurons keep their exact projections, wherever the dense model's states come from.
func TestUntouchedLayersDoNotChange(t *testing.T) {
	model, backend := tinymodel.Open(t, tinymodel.Options{Layers: 3}), pureGo(t)
	total := 0
	for _, tokens := range statesSequences {
		total += len(tokens)
	}
	for _, untouched := range []int{1, 2, 3} {
		scores, hidden := scoredStates(t, backend, model)
		plan, err := MakePlan(model.Config(), scores.Stage2, 0.1, Uniform)
		if err != nil {
			t.Fatal(err)
		}
		for layer := range untouched {
			plan.Kept[layer] = llama.Ascending(plan.Dense[layer])
		}
		file := stateFile(t)
		var want [][]float32
		for _, options := range []ReconstructOptions{{}, {Hidden: hidden}, {States: file}, {States: file}} {
			done := 0
			got, err := Reconstruct(t.Context(), backend, model, plan, statesSequences, options, func(p Progress) { done = p.Done })
			if err != nil {
				t.Fatal(err)
			}
			if done != total {
				t.Errorf("progress ended at %d tokens of %d", done, total)
			}
			if want == nil {
				want = got
			}
			if !slices.EqualFunc(got, want, slices.Equal[[]float32]) {
				t.Errorf("%d untouched layers: another result with %+v", untouched, options)
			}
			for layer := range model.Config().Layers {
				dense, _, err := model.Tensor(models.FFNDown, layer)
				if err != nil {
					t.Fatal(err)
				}
				if same := slices.Equal(got[layer], dense); same != (layer < untouched) {
					t.Errorf("%d untouched layers: layer %d is unchanged: %t", untouched, layer, same)
				}
			}
		}
	}
}
