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
		"pairs":               {equal(8, 256), 512, []batch{{0, 4}, {1, 5}, {2, 6}, {3, 7}}},
		"an odd one":          {equal(9, 256), 512, []batch{{0, 5}, {1, 6}, {2, 7}, {3, 8}, {4}}},
		"equal after padding": {append([]int{250, 256, 249}, equal(5, 256)...), 512, []batch{{0, 4}, {1, 5}, {2, 6}, {3, 7}}},
		"other lengths":       {[]int{256, 104, 256, 256, 512, 512, 512}, 512, []batch{{0, 3}, {2}, {1}, {4}, {5}, {6}}},
		"too long":            {equal(3, 1024), 512, []batch{{0}, {1}, {2}}},
		"few":                 {equal(7, 100), 1024, []batch{{0}, {1}, {2}, {3}, {4}, {5}, {6}}},
		"four batches":        {equal(8, 100), 1024, []batch{{0, 4}, {1, 5}, {2, 6}, {3, 7}}},
		"each alone":          {equal(2, 8), 0, []batch{{0}, {1}}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			sequences := make([][]int32, len(test.lengths))
			for i, length := range test.lengths {
				sequences[i] = make([]int32, length)
			}
			got := batchSequences(sequences, test.rows)
			if !slices.EqualFunc(got, test.want, slices.Equal[batch]) {
				t.Errorf("batches are %v, want %v", got, test.want)
			}
			all := slices.Sorted(slices.Values(slices.Concat(got...)))
			if len(all) != len(sequences) || len(slices.Compact(all)) != len(sequences) {
				t.Errorf("batches hold %v of %d sequences", all, len(sequences))
			}
		})
	}
}
