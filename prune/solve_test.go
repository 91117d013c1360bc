//go:build cgo

package prune

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/gomlx/gomlx/backends"
	"github.com/gomlx/gomlx/pkg/core/graph"

	"prunellm/models"
	"prunellm/models/llama"
)

// testSolverOn returns a solver and the model that it runs on.
func testSolverOn(tb testing.TB, backend backends.Backend) (*llama.Model, *solver) {
	tb.Helper()
	m, err := llama.New(backend, models.Config{VocabSize: 2, HiddenSize: 2, Layers: 1, Heads: 1, KVHeads: 1, HeadDim: 2,
		FFN: []int{1}, ContextLength: 2, RMSEpsilon: 1e-5, RoPEBase: 1e4, RoPEDim: 2})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(m.Close)
	s, err := newSolver(m, func(args []*graph.Node) (a, b *graph.Node) { return args[0], args[1] })
	if err != nil {
		tb.Fatal(err)
	}
	return m, s
}

// TestSolver compares the solution by halves on XLA with gonum's Cholesky on an ill-conditioned ridge system.
func TestSolver(t *testing.T) {
	m, s := testSolverOn(t, pluginBackend(t))
	if !solvesOn(m.Backend()) {
		t.Fatal("XLA lacks dynamic slices")
	}
	for _, blocks := range []int{1, 2, 3, 6} {
		t.Run(fmt.Sprintf("%d blocks", blocks), func(t *testing.T) { testSolver(t, m, s, blocks*solveBlock) })
	}
}

func testSolver(t *testing.T, m *llama.Model, s *solver, n int) {
	const columns, samples = 7, 50 // fewer samples than unknowns: only the ridge makes it definite
	random := rand.New(rand.NewPCG(7, 8))
	rows := make([]float64, samples*n)
	for i := range rows {
		rows[i] = random.NormFloat64() * math.Exp(float64(i%n)/60) // columns differ by a factor of 600
	}
	a, trace := make([]float64, n*n), 0.0
	for i := range n {
		for j := range n {
			for k := range samples {
				a[i*n+j] += rows[k*n+i] * rows[k*n+j]
			}
		}
		trace += a[i*n+i]
	}
	for i := range n {
		a[i*n+i] += 0.01 * trace / float64(n)
	}
	right := make([]float64, n*columns)
	for i := range right {
		right[i] = random.NormFloat64()
	}
	matrix, err := m.UploadDoubles(a, n, n)
	if err != nil {
		t.Fatal(err)
	}
	b, err := m.UploadDoubles(right, n, columns)
	if err != nil {
		t.Fatal(err)
	}
	x, err := s.solve(matrix, b)
	if err != nil {
		t.Fatal(err)
	}
	got, err := llama.Download[float32](x)
	if err != nil {
		t.Fatal(err)
	}
	if err := (gonumAlgebra{}).Solve(slices.Clone(a), right, n); err != nil {
		t.Fatal(err)
	}
	var diff, norm float64
	for i, want := range right {
		diff += math.Pow(float64(got[i])-want, 2)
		norm += want * want
	}
	if relative := math.Sqrt(diff / norm); !(relative < 1e-6) { // rounded to float32
		t.Errorf("solutions differ by %g of their norm, want less than 1e-6", relative)
	}

	a[0] = math.NaN()
	broken, err := m.UploadDoubles(a, n, n)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.solve(broken, b); !errors.Is(err, ErrNotFinite) {
		t.Errorf("solve with a NaN gives %v", err)
	}
}

// BenchmarkSolve solves layers of the default model at ratios 0.4, 0.2 and 0, and half of one of a 1 B model.
func BenchmarkSolve(b *testing.B) {
	backend := pluginBackend(b)
	for _, n := range []int{512, 1024, 1536, 4096} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			m, s := testSolverOn(b, backend)
			const columns = 576
			values, random := make([]float64, n*n), rand.New(rand.NewPCG(9, 10))
			for i := range n {
				for j := range i {
					values[i*n+j] = random.NormFloat64()
					values[j*n+i] = values[i*n+j]
				}
				values[i*n+i] = float64(2 * n)
			}
			a, err := m.UploadDoubles(values, n, n)
			if err != nil {
				b.Fatal(err)
			}
			right, err := m.UploadDoubles(make([]float64, n*columns), n, columns)
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				x, err := s.solve(a, right)
				if err != nil {
					b.Fatal(err)
				}
				llama.Release(x)
			}
		})
	}
}
