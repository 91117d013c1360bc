package prune

import (
	"bytes"
	"flag"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"prunellm/internal/tinymodel"
)

var update = flag.Bool("update", false, "rewrite the table of criteria in docs/understand/pruning.md")

// digests are the digests of the default recipe with each criterion. They are the keys of stored scores, so they never
// change.
var digests = map[Criterion]string{
	SDM:       "d9f24993877d25a9975c3f112ac77f3796e85a0b7527a9b4e675f7af0d9f2c16",
	SDM2:      "4b2792816e42219ef732b1a6ce690bd348f5faeeef69785b2aa5c1b8575ded12",
	Fisher:    "4c7878649c238914c053bac418cc03ad644ebbdbff0d9c1668b6d08949905d14",
	Taylor:    "7573e8768e4062b6ef82b21b2cdb837b4dd01bedeb13eeeb3c4b6069fd8383b1",
	FisherSDM: "702505aabf9a5870c43f5d18eba1baad157d506456de63c10e130cfc2956f01b",
	Magnitude: "fdb6cdc2ccfa9d42992806e21cc6780fd9548ddc80a6efbc0acce07576e645d3",
}

func TestCriteriaAreComplete(t *testing.T) {
	if len(digests) != len(criteria) {
		t.Errorf("%d criteria and %d digests", len(criteria), len(digests))
	}
	for i, row := range criteria {
		if err := row.complete(); err != nil {
			t.Error(err)
		}
		if first := slices.Index(Criteria(), row.name); first != i {
			t.Errorf("rows %d and %d are both called %q", first, i, row.name)
		}
		recipe := DefaultRecipe()
		recipe.Criterion = row.name
		if err := recipe.Validate(); err != nil {
			t.Error(err)
		}
		if got := recipe.Digest(); got != digests[row.name] {
			t.Errorf("the default recipe with %q has digest %s, want %q", row.name, got, digests[row.name])
		}
	}
}

func TestIncompleteCriterion(t *testing.T) {
	for _, row := range criteria {
		for name, spoil := range map[string]func(){
			"name":        func() { row.name = "Not a name" },
			"help":        func() { row.help = "two\nlines" },
			"stages":      func() { row.stages = 3 },
			"drawn":       func() { row.drawn, row.stages = true, 2 },
			"lengthPower": func() { row.lengthPower = -1 },
			"gradients":   func() { row.gradients, row.weights = nil, nil },
		} {
			whole := row
			spoil()
			if row.complete() == nil {
				t.Errorf("%q without a valid %s counts as complete", whole.name, name)
			}
			row = whole
		}
	}
}

// An unknown criterion never starts, and the error lists the known ones.
func TestUnknownCriterion(t *testing.T) {
	recipe := DefaultRecipe()
	recipe.Criterion = "fischer"
	_, scoreErr := Score(t.Context(), pureGo(t), tinymodel.Open(t, tinymodel.Options{}), [][]int32{{1, 2, 3}}, recipe, nil)
	for _, err := range []error{recipe.Validate(), scoreErr} {
		if err == nil {
			t.Fatal("an unknown criterion was accepted")
		}
		for _, known := range append(Criteria(), "fischer") {
			if !strings.Contains(err.Error(), string(known)) {
				t.Errorf("error %q does not name %q", err, known)
			}
		}
	}
	if c := recipe.Criterion; c.NeedsTokens() || c.Distills() || c.DrawsLabels() || c.MixedPrecision() || c.Help() != "" {
		t.Errorf("%q has properties", c)
	}
}

// Each criterion gives finite scores, the same ones in two runs, and others than every other criterion: a row that repeats
// another is a mistake.
func TestCriteriaDiffer(t *testing.T) {
	model, backend := tinymodel.Open(t, tinymodel.Options{}), pureGo(t)
	sequences := [][]int32{{10, 20, 30, 40, 50, 60, 70, 80}, {5, 6, 7, 8, 9}}
	seen := map[string]Criterion{}
	for _, criterion := range Criteria() {
		recipe := DefaultRecipe()
		recipe.Criterion = criterion
		var key string
		for run := range 2 {
			scores, err := Score(t.Context(), backend, model, sequences, recipe, nil)
			if err != nil {
				t.Fatal(err)
			}
			text := fmt.Sprint(scores.Stage2)
			if run > 0 && text != key {
				t.Errorf("%s: two runs gave different scores", criterion)
			}
			key = text
			for layer, row := range scores.Stage2 {
				if len(row) != model.Config().FFN[layer] || !allFinite(row) || slices.Min(row) < 0 || !(slices.Max(row) > 0) {
					t.Errorf("%s: layer %d has %d scores from %g to %g", criterion, layer, len(row), slices.Min(row), slices.Max(row))
				}
			}
			if losses := len(scores.Loss1); losses > 0 != criterion.NeedsTokens() {
				t.Errorf("%s: %d losses, but NeedsTokens is %t", criterion, losses, criterion.NeedsTokens())
			}
			if losses := len(scores.Loss2); losses > 0 != criterion.Distills() {
				t.Errorf("%s: %d losses in stage 2, but Distills is %t", criterion, losses, criterion.Distills())
			}
		}
		if other, ok := seen[key]; ok {
			t.Errorf("%s gives the scores of %s", criterion, other)
		}
		seen[key] = criterion
	}
}

// A token has the same weight in a short sequence and in a long one, because lengthPower makes the score that of the loss
// summed over tokens.
func TestLengthPower(t *testing.T) {
	for _, row := range criteria {
		s := &scorer{criterion: row, sums: [][]float64{make([]float64, 1)}}
		for _, length := range []int{1, 3} {
			if err := s.accumulate(0, []float32{2}, length); err != nil {
				t.Fatal(err)
			}
		}
		if want := 200 * (1 + math.Pow(3, float64(row.lengthPower))); s.sums[0][0] != want {
			t.Errorf("%s: sequences of 1 and 3 tokens add up to %g, want %g", row.name, s.sums[0][0], want)
		}
	}
}

// The markers around the table of criteria in docs/understand/pruning.md.
const (
	criteriaBegin = "<!-- criteria: go test ./prune -run CriteriaPage -update -->\n"
	criteriaEnd   = "<!-- end of criteria -->\n"
)

func criteriaPage() string {
	var b strings.Builder
	b.WriteString("| criterion | score of a neuron | passes over the text | labels | alpha, temperature, sliver | bfloat16 |\n|---|---|---|---|---|---|\n")
	mark := map[bool]string{true: "yes", false: "no"}
	for _, row := range criteria {
		labels := "the text's"
		switch {
		case !row.name.NeedsTokens():
			labels = "none"
		case row.name.DrawsLabels():
			labels = "drawn"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %d | %s | %s | %s |\n", row.name, row.help, row.stages, labels, mark[row.name.Distills()], mark[row.mixed])
	}
	return b.String()
}

func TestCriteriaPage(t *testing.T) {
	const path = "../docs/understand/pruning.md"
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := bytes.Cut(page, []byte(criteriaBegin))
	table, after, ended := bytes.Cut(rest, []byte(criteriaEnd))
	if !found || !ended {
		t.Fatalf("%s has no table of criteria", path)
	}
	want := criteriaPage()
	if *update {
		page = slices.Concat(before, []byte(criteriaBegin), []byte(want), []byte(criteriaEnd), after)
		if err := os.WriteFile(path, page, 0o644); err != nil { //nolint:gosec // a document
			t.Fatal(err)
		}
	} else if string(table) != want {
		t.Errorf("the table of criteria in %s is stale: run go test ./prune -run CriteriaPage -update", path)
	}
}
