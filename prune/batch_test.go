package prune

import (
	"slices"
	"testing"
)

func TestBatchSequences(t *testing.T) {
	tests := map[string]struct {
		lengths []int
		rows    int
		want    []batch
	}{
		"none":                {nil, 512, nil},
		"pairs":               {[]int{256, 256, 256, 256}, 512, []batch{{0, 2}, {2, 4}}},
		"an odd one":          {[]int{256, 256, 256}, 512, []batch{{0, 2}, {2, 3}}},
		"equal after padding": {[]int{250, 256, 249}, 768, []batch{{0, 3}}},
		"other lengths":       {[]int{256, 100, 256, 256}, 512, []batch{{0, 1}, {1, 2}, {2, 4}}},
		"too long":            {[]int{512, 512, 1024}, 512, []batch{{0, 1}, {1, 2}, {2, 3}}},
		"short ones":          {[]int{100, 100, 100, 100, 100}, 512, []batch{{0, 4}, {4, 5}}},
		"each alone":          {[]int{8, 8}, 0, []batch{{0, 1}, {1, 2}}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			sequences := make([][]int32, len(test.lengths))
			total := 0
			for i, length := range test.lengths {
				sequences[i] = make([]int32, length)
				total += length
			}
			got := batchSequences(sequences, test.rows)
			if !slices.Equal(got, test.want) {
				t.Errorf("batches are %v, want %v", got, test.want)
			}
			for _, b := range got {
				total -= b.tokens(sequences)
			}
			if total != 0 {
				t.Errorf("%d tokens are in no batch", total)
			}
		})
	}
}
