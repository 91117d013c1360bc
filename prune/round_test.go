package prune

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// correlated returns the Gram matrix of n activations that share a few causes, and a projection float32[n, hidden].
func correlated(n, hidden int) (gram []float64, x []float32) {
	random := rand.New(rand.NewPCG(5, uint64(n)))
	mix := make([]float64, n*8)
	for i := range mix {
		mix[i] = random.NormFloat64()
	}
	gram = make([]float64, n*n)
	h := make([]float64, n)
	for range 4 * n {
		var causes [8]float64
		for i := range causes {
			causes[i] = random.NormFloat64()
		}
		for i := range h {
			h[i] = 0.3 * random.NormFloat64()
			for j, cause := range causes {
				h[i] += mix[i*8+j] * cause
			}
		}
		for i := range h {
			for j := range h {
				gram[i*n+j] += h[i] * h[j]
			}
		}
	}
	x = make([]float32, n*hidden)
	for i := range x {
		x[i] = float32(random.NormFloat64())
	}
	return gram, x
}

// Each block of neurons compensates for the rounding of those before it.
func TestRoundBlocksFeedsErrorsBack(t *testing.T) {
	const hidden = 24
	grid := func(values []float32) ([]float32, error) {
		out := make([]float32, len(values))
		for i, v := range values {
			out[i] = float32(math.Round(float64(v)*4)) / 4
		}
		return out, nil
	}
	for _, n := range []int{GridBlock, 2*GridBlock + 7, 256} {
		gram, x := correlated(n, hidden)
		cost := func(w []float32) (sum float64) {
			for c := range hidden {
				for i := range n {
					for j := range n {
						sum += float64(w[i*hidden+c]-x[i*hidden+c]) * gram[i*n+j] * float64(w[j*hidden+c]-x[j*hidden+c])
					}
				}
			}
			return sum
		}
		nearest, _ := grid(x)
		fed := slices.Clone(x)
		if err := roundBlocks(gonumAlgebra{}, slices.Clone(gram), fed, n, grid); err != nil {
			t.Fatal(err)
		}
		if onGrid, _ := grid(fed); !slices.Equal(onGrid, fed) {
			t.Errorf("%d neurons: values are not on the grid", n)
		}
		if n == GridBlock {
			if !slices.Equal(fed, nearest) {
				t.Errorf("%d neurons: a single block is not rounded to nearest", n)
			}
			continue
		}
		t.Logf("%d neurons: %g with feedback, %g rounded to nearest", n, cost(fed), cost(nearest))
		if !(cost(fed) < 0.7*cost(nearest)) {
			t.Errorf("%d neurons: the squared error is %g with feedback and %g without, want less than 0.7 of it", n, cost(fed), cost(nearest))
		}
	}
	if err := roundBlocks(gonumAlgebra{}, make([]float64, 64*64), make([]float32, 64), 64, grid); err == nil {
		t.Error("a matrix of zeros was factorized")
	}
}
