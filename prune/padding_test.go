package prune

import (
	"slices"
	"testing"
)

func TestPadWidths(t *testing.T) {
	widths := []int{1504, 1280, 1056, 864, 608, 480, 512, 448, 224, 192, 256, 352}
	distinct := func(padded []int) int {
		return len(slices.Compact(slices.Sorted(slices.Values(padded))))
	}
	few, many := padWidths(widths, 576, 1024, deviceFits), padWidths(widths, 576, 1<<20, deviceFits)
	for _, padded := range [][]int{few, many} {
		for i, width := range widths {
			if padded[i] < width || padded[i]%deviceFits.step != 0 {
				t.Errorf("width %d is padded to %d, want a multiple of %d", width, padded[i], deviceFits.step)
			}
		}
	}
	if n := distinct(few); n > 2 {
		t.Errorf("few tokens: %d widths (%v), want at most 2: compiling takes longer than matmuls with zeros", n, few)
	}
	for i, width := range widths {
		if many[i] >= width+deviceFits.step {
			t.Errorf("many tokens: width %d is padded to %d, want the next multiple", width, many[i])
		}
	}
	mixed := hostFits
	mixed.flopSeconds = secondsOfMixedFlop
	if a, b := distinct(padWidths(widths, 576, 24576, hostFits)), distinct(padWidths(widths, 576, 24576, mixed)); b >= a {
		t.Errorf("faster matmuls: %d widths, want fewer than %d", b, a)
	}
	if got := padWidths([]int{300, 300}, 576, 8192, deviceFits); !slices.Equal(got, []int{512, 512}) {
		t.Errorf("one width is padded to %v", got)
	}
	for i, padded := range padWidths(widths, 576, 1<<20, hostFits) {
		if width := widths[i]; padded != (width+63)/64*64 {
			t.Errorf("fits on the host, many tokens: width %d is padded to %d, want the next multiple of 64", width, padded)
		}
	}
}
