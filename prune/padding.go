package prune

import (
	"math"
	"slices"
)

// XLA recompiles a refit's programs for each layer width, which takes about as long as running them. A refit therefore pads
// layers to a few common widths.

// paddingCost estimates the cost of padding on two cores, where a whole refit takes about fifteen seconds. A suboptimal
// choice costs one or two seconds.
type paddingCost struct {
	step           int     // divides every padded width
	compileSeconds float64 // to compile a refit's programs for one more width
	flopSeconds    float64 // per multiplication or addition of its matmuls
	solutions      float64 // average number of times that a layer's padded system is solved: some layers try several ridges
}

var (
	hostFits   = paddingCost{step: 64, compileSeconds: 0.65, flopSeconds: secondsOfFlop} // the host solves systems without padding
	deviceFits = paddingCost{step: 2 * solveBlock, compileSeconds: 1.25, flopSeconds: secondsOfFlop, solutions: 2}
)

const (
	secondsOfFlop      = 1 / 150e9 // in float32
	secondsOfMixedFlop = 1 / 400e9 // with bfloat16 operands
	secondsOfSolveFlop = 1 / 60e9  // in float64
)

// refitSeconds estimates the time of the part of a layer's refit that grows with its width.
func (c paddingCost) refitSeconds(width, hidden, tokens int) float64 {
	w, e := float64(width), float64(hidden)
	// For each token: gate, up and the new down, and the sums of h h^T and h y^T.
	flops := float64(tokens) * (2*w*3*e + 2*w*(w+e))
	return flops*c.flopSeconds + c.solutions*2*w*w*(w/3+e)*secondsOfSolveFlop
}

// padWidths returns the width to which each layer is padded for a refit on that many tokens. It minimizes the total time of
// computing on zeros and of compiling programs.
func padWidths(widths []int, hidden, tokens int, cost paddingCost) []int {
	roundUp := func(width int) int { return (width + cost.step - 1) / cost.step * cost.step }
	layers := map[int]int{} // by width, rounded up
	for _, width := range widths {
		layers[roundUp(width)]++
	}
	var steps []int
	for step := range layers {
		steps = append(steps, step)
	}
	slices.Sort(steps)
	// best[n] is the least time for the n smallest widths. from[n] is the first of those that are padded to the largest of the n.
	best, from := make([]float64, len(steps)+1), make([]int, len(steps)+1)
	for n := 1; n <= len(steps); n++ {
		best[n] = math.Inf(1)
		each, count := cost.refitSeconds(steps[n-1], hidden, tokens), 0
		for first := n - 1; first >= 0; first-- {
			count += layers[steps[first]]
			if seconds := best[first] + cost.compileSeconds + float64(count)*each; seconds < best[n] {
				best[n], from[n] = seconds, first
			}
		}
	}
	padded := map[int]int{}
	for n := len(steps); n > 0; n = from[n] {
		for _, step := range steps[from[n]:n] {
			padded[step] = steps[n-1]
		}
	}
	out := make([]int, len(widths))
	for i, width := range widths {
		out[i] = padded[roundUp(width)]
	}
	return out
}
