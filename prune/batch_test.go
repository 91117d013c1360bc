package prune

import (
	"slices"
	"testing"
)

func TestBatchSequences(t *testing.T) {
	equal := func(n, length int) []int { return slices.Repeat([]int{length}, n) }
	tests := map[string]struct {
		lengths []int
		rows    int
		want    []batch
	}{
		"none":                {nil, 512, nil},
		"pairs":               {equal(8, 256), 512, []batch{{0, 2}, {2, 4}, {4, 6}, {6, 8}}},
		"an odd one":          {equal(9, 256), 512, []batch{{0, 2}, {2, 4}, {4, 6}, {6, 8}, {8, 9}}},
		"equal after padding": {append([]int{250, 256, 249}, equal(9, 256)...), 768, []batch{{0, 3}, {3, 6}, {6, 9}, {9, 12}}},
		"other lengths":       {[]int{256, 100, 256, 256, 512, 512, 512}, 512, []batch{{0, 1}, {1, 2}, {2, 4}, {4, 5}, {5, 6}, {6, 7}}},
		"too long":            {equal(3, 1024), 512, []batch{{0, 1}, {1, 2}, {2, 3}}},
		"few":                 {equal(7, 100), 1024, []batch{{0, 1}, {1, 2}, {2, 3}, {3, 4}, {4, 5}, {5, 6}, {6, 7}}},
		"four batches":        {equal(8, 100), 1024, []batch{{0, 2}, {2, 4}, {4, 6}, {6, 8}}},
		"each alone":          {equal(2, 8), 0, []batch{{0, 1}, {1, 2}}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			sequences := make([][]int32, len(test.lengths))
			for i, length := range test.lengths {
				sequences[i] = make([]int32, length)
			}
			got := batchSequences(sequences, test.rows)
			if !slices.Equal(got, test.want) {
				t.Errorf("batches are %v, want %v", got, test.want)
			}
			next := 0
			for _, b := range got {
				if b.from != next || b.len() < 1 {
					t.Errorf("batch %v does not follow on sequence %d", b, next-1)
				}
				next = b.to
			}
			if next != len(sequences) {
				t.Errorf("batches end at sequence %d of %d", next, len(sequences))
			}
		})
	}
}
