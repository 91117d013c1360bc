package prune

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/gomlx/gomlx/pkg/core/tensors"

	"prunellm/internal/tinymodel"
	"prunellm/models/llama"
)

// randomSums returns the sums of n tokens, h [n, width], whose last neuron is padding, and y [n, e].
func randomSums(random *rand.Rand, n, width, e int) (s *sums, h, y [][]float64) {
	gram, cross := make([]float64, width*width), make([]float64, width*e)
	draw := func(size int) []float64 {
		out := make([]float64, size)
		for i := range out {
			out[i] = random.NormFloat64()
		}
		return out
	}
	for range n {
		token, target := draw(width), draw(e)
		token[width-1] = 0
		for i, x := range token {
			for j, z := range token {
				gram[i*width+j] += x * z
			}
			for j, z := range target {
				cross[i*e+j] += x * z
			}
		}
		h, y = append(h, token), append(y, target)
	}
	return &sums{
		gram: tensors.FromFlatDataAndDimensions(gram, width, width), cross: tensors.FromFlatDataAndDimensions(cross, width, e),
	}, h, y
}

// TestHeldOutError compares the error computed from the sums with the one computed from the tokens, and a part of the outputs
// with all of them.
func TestHeldOutError(t *testing.T) {
	m, err := llama.New(pureGo(t), tinymodel.Open(t, tinymodel.Options{}).Config())
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	const width = 7
	e, random := m.Config().HiddenSize, rand.New(rand.NewPCG(7, 8))
	fit, _, _ := randomSums(random, 20, width, e)
	held, h, y := randomSums(random, 9, width, e)
	s := layerSums{fit: fit, held: held}
	values := make([]float32, width*e)
	for i := range values {
		values[i] = float32(random.NormFloat64())
	}
	old, fitter := tensors.FromFlatDataAndDimensions(values, width, e), &hostFitter{model: m, algebra: gonumAlgebra{}}
	w, err := fitter.solve(s, 0, old, 0.3, width-1, 1)
	if err != nil {
		t.Fatal(err)
	}
	want := 0.0
	for i := range h {
		for j := range e {
			out := 0.0
			for k := range width - 1 {
				out += h[i][k] * w[k*e+j]
			}
			want += (out-y[i][j])*(out-y[i][j]) - y[i][j]*y[i][j]
		}
	}
	got, err := fitter.heldOutError(s, old, 0.3, width-1)
	if err != nil {
		t.Fatal(err)
	}
	if !(math.Abs(got-want) <= 1e-9*math.Abs(want)) {
		t.Errorf("error by the sums is %g, by the tokens %g", got, want)
	}
	const every = 4
	part, err := fitter.solve(s, 0.5, old, 0.3, width-1, every)
	if err != nil {
		t.Fatal(err)
	}
	if w, err = fitter.solve(s, 0.5, old, 0.3, width-1, 1); err != nil {
		t.Fatal(err)
	}
	for i, x := range part {
		if want := w[i*every]; !(math.Abs(x-want) <= 1e-9) {
			t.Fatalf("value %d of every fourth output is %g, among all it is %g", i, x, want)
		}
	}
	for outputs, want := range map[int]int{1: 1, 64: 1, 255: 1, 256: 2, 576: 4, 2048: 16, 2050: 10, 4099: 1} {
		if got := stride(outputs); got != want {
			t.Errorf("stride of %d outputs is %d, want %d", outputs, got, want)
		}
	}
}
