package prune

import (
	"slices"
	"testing"

	"prunellm/internal/tinymodel"
	"prunellm/models/llama"
)

// The numbers that draw labels depend on a sequence's place in the text, not on the groups.
func TestDrawsDoNotDependOnGroups(t *testing.T) {
	row, _ := SDM2.row()
	s := &scorer{criterion: row, recipe: Recipe{Seed: 3}}
	config := tinymodel.Open(t, tinymodel.Options{}).Config()
	sequences := [][]int32{{1, 2, 3}, {4, 5}, {1, 2, 3}, {6, 7, 8, 9}, {1, 2}}
	draws := func(bytes int64) (groups int, all [][]float32) {
		for _, g := range groupSequences(config, bytes, false, sequences) {
			groups++
			all = append(all, s.uniform(&g)...)
		}
		return groups, all
	}
	one, together := draws(1 << 30)
	each, apart := draws(1)
	if one != 1 || each != len(sequences) {
		t.Fatalf("%d and %d groups, want 1 and %d", one, each, len(sequences))
	}
	if !slices.EqualFunc(together, apart, slices.Equal) {
		t.Errorf("groups draw %v apart and %v together", apart, together)
	}
	if slices.Equal(together[0], together[2]) {
		t.Error("two sequences with the same tokens draw the same numbers")
	}
	for i, uniform := range together {
		if len(uniform) != len(sequences[i]) || slices.Min(uniform) < 0 || slices.Max(uniform) >= 1 {
			t.Errorf("sequence %d draws %v, want %d numbers in [0, 1)", i, uniform, len(sequences[i]))
		}
	}
}

// A chunk of the head draws the same labels as a whole sequence.
func TestLossRowsOfDrawnLabels(t *testing.T) {
	in := lossInput{sequences: [][]int32{{1, 2, 3}, {4, 5}}, uniform: [][]float32{{0.1, 0.2, 0.3}, {0.4, 0.5}}}
	rows := newLossRows(llama.PadLength(5), 0, false, true)
	for i, tokens := range in.sequences {
		for token := range tokens {
			rows.place(in, i, token, 0)
		}
	}
	third := float32(1.0 / 3)
	if want := []float32{0.1, 0.2, 0.3, 0.4, 0.5, 0, 0, 0}; !slices.Equal(rows.uniform, want) {
		t.Errorf("uniform = %v, want %v", rows.uniform, want)
	}
	if want := []float32{third, third, third, 0.5, 0.5, 0, 0, 0}; !slices.Equal(rows.weight, want) {
		t.Errorf("weight = %v, want %v", rows.weight, want)
	}
}
