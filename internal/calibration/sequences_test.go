package calibration

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCut(t *testing.T) {
	tokens := make([]int32, 100)
	for i := range tokens {
		tokens[i] = int32(i)
	}
	tests := []struct {
		count, length, budget int
		starts                []int32
		size                  int
	}{
		{100, 20, 1000, []int32{0, 20, 40, 60, 80}, 20},
		{99, 20, 1000, []int32{0, 20, 40, 60}, 20},
		{100, 20, 40, []int32{0, 80}, 20}, // spread over the text
		{100, 20, 60, []int32{0, 40, 80}, 20},
		{10, 20, 1000, []int32{0}, 10},
		{100, 20, 5, []int32{0}, 5},
		{1, 20, 1000, nil, 0},
		{0, 20, 1000, nil, 0},
	}
	for _, test := range tests {
		sequences := Cut(tokens[:test.count], test.length, test.budget)
		var starts []int32
		for _, sequence := range sequences {
			starts = append(starts, sequence[0])
			if len(sequence) != test.size {
				t.Errorf("%+v: a sequence of %d tokens", test, len(sequence))
			}
		}
		if !cmp.Equal(starts, test.starts) {
			t.Errorf("%+v: starts %v", test, starts)
		}
	}
}

// Held-out sequences are spread over the text and are never more than a quarter of it.
func TestHoldOut(t *testing.T) {
	sequences := make([][]int32, 16)
	for i := range sequences {
		sequences[i] = []int32{int32(i), 0}
	}
	for _, test := range []struct {
		count, tokens int
		heldOut       []int32
	}{
		{16, 8, []int32{3, 7, 11, 15}}, // 4 sequences of 2 tokens
		{16, 3, []int32{7, 15}},        // whole sequences
		{16, 100, []int32{3, 7, 11, 15}},
		{5, 100, []int32{4}},
		{1, 100, nil},
		{0, 100, nil},
	} {
		rest, heldOut := HoldOut(sequences[:test.count], test.tokens, 2)
		var got []int32
		for _, sequence := range heldOut {
			got = append(got, sequence[0])
		}
		if !cmp.Equal(got, test.heldOut) || len(rest)+len(heldOut) != test.count {
			t.Errorf("HoldOut of %d sequences, %d tokens: %v held out and %d left, want %v", test.count, test.tokens, got, len(rest), test.heldOut)
		}
	}
}
