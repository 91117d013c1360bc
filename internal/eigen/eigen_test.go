package eigen_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"gonum.org/v1/gonum/mat"

	"prunellm/internal/eigen"
)

// system returns A, positive definite with columns that differ by a factor of 600, and B with some columns.
func system(n, columns int) (a, b []float64) {
	random := rand.New(rand.NewPCG(7, uint64(n)))
	rows := make([]float64, (n+10)*n)
	for i := range rows {
		rows[i] = random.NormFloat64() * math.Exp(float64(i%n)/float64(n)*6.4)
	}
	m := mat.NewDense(n+10, n, rows)
	var sum mat.Dense
	sum.Mul(m.T(), m)
	b = make([]float64, n*columns)
	for i := range b {
		b[i] = random.NormFloat64()
	}
	return sum.RawMatrix().Data, b
}

func TestAgreesWithGonum(t *testing.T) {
	for _, size := range []struct{ n, columns int }{{1, 1}, {5, 3}, {64, 96}, {200, 97}, {333, 576}} {
		t.Run(fmt.Sprint(size.n), func(t *testing.T) {
			a, b := system(size.n, size.columns)
			var want mat.Dense
			want.Mul(mat.NewDense(size.n, size.n, a), mat.NewDense(size.n, size.columns, b))
			got, err := eigen.Algebra{}.Multiply(a, b, size.n)
			if err != nil {
				t.Fatal(err)
			}
			if d := distance(got, want.RawMatrix().Data); !(d < 1e-14) {
				t.Errorf("matmuls differ by %g of their norm", d)
			}
			var factor mat.Cholesky
			if !factor.Factorize(mat.NewSymDense(size.n, slices.Clone(a))) {
				t.Fatal("not definite")
			}
			if err := factor.SolveTo(&want, mat.NewDense(size.n, size.columns, slices.Clone(b))); err != nil {
				t.Fatal(err)
			}
			if err := (eigen.Algebra{}).Solve(a, b, size.n); err != nil {
				t.Fatal(err)
			}
			if d := distance(b, want.RawMatrix().Data); !(d < 1e-9) {
				t.Errorf("solutions differ by %g of their norm", d)
			}
		})
	}
}

// distance returns the distance of two vectors relative to the norm of the second.
func distance(got, want []float64) float64 {
	var diff, norm float64
	for i := range want {
		diff += (got[i] - want[i]) * (got[i] - want[i])
		norm += want[i] * want[i]
	}
	return math.Sqrt(diff / norm)
}

func TestBadSystems(t *testing.T) {
	if err := (eigen.Algebra{}).Solve([]float64{1, 2, 2, 1}, []float64{1, 1}, 2); !errors.Is(err, eigen.ErrNotDefinite) {
		t.Errorf("an indefinite matrix gives %v", err)
	}
	b := []float64{1, 1}
	if err := (eigen.Algebra{}).Solve([]float64{1, 0, 0, math.NaN()}, b, 2); err == nil && !math.IsNaN(b[0]+b[1]) {
		t.Errorf("a matrix with NaN gives %v", b)
	}
	for _, bad := range []struct {
		a, b []float64
		n    int
	}{{nil, nil, 0}, {[]float64{1}, []float64{1}, -1}, {[]float64{1, 0, 0}, []float64{1, 1}, 2}, {[]float64{1, 0, 0, 1}, []float64{1}, 2}} {
		if err := (eigen.Algebra{}).Solve(bad.a, bad.b, bad.n); err == nil {
			t.Errorf("Solve takes %v", bad)
		}
		if _, err := (eigen.Algebra{}).Multiply(bad.a, bad.b, bad.n); err == nil {
			t.Errorf("Multiply takes %v", bad)
		}
	}
	if err := (eigen.Algebra{}).Solve([]float64{1}, nil, 1); err != nil {
		t.Errorf("no columns: %v", err)
	}
}

// BenchmarkSolve solves layers of the default model at ratios 0.4, 0.2 and 0, and half of one of a 1 B model, like
// XLA's benchmark in package prune.
func BenchmarkSolve(b *testing.B) {
	for _, n := range []int{512, 1024, 1536, 4096} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			a, right := make([]float64, n*n), make([]float64, n*576)
			for i := range n {
				a[i*n+i] = 2
			}
			for b.Loop() {
				if err := (eigen.Algebra{}).Solve(slices.Clone(a), right, n); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// Factor returns V V^T = a with V upper triangular, and Shift agrees with gonum.
func TestFactorAndShift(t *testing.T) {
	for _, size := range []struct{ n, columns, first, count int }{{1, 1, 0, 1}, {64, 97, 32, 32}, {200, 576, 160, 32}, {200, 3, 192, 8}} {
		a, e := system(size.n, size.columns)
		v := slices.Clone(a)
		if err := (eigen.Algebra{}).Factor(v, size.n); err != nil {
			t.Fatal(err)
		}
		upper := mat.NewDense(size.n, size.n, nil)
		for i := range size.n {
			for j := i; j < size.n; j++ {
				upper.Set(i, j, v[i*size.n+j])
			}
		}
		var product mat.Dense
		product.Mul(upper, upper.T())
		for i, want := range a {
			if got := product.RawMatrix().Data[i]; math.Abs(got-want) > 1e-9*math.Abs(want)+1e-6 {
				t.Fatalf("n = %d: value %d of V V^T is %g, want %g", size.n, i, got, want)
			}
		}
		last := size.first + size.count
		var right, want mat.Dense
		if size.first > 0 {
			right.Mul(upper.Slice(0, size.first, size.first, last).T(), mat.NewDense(size.n, size.columns, e).Slice(0, size.first, 0, size.columns))
			if err := want.Solve(upper.Slice(size.first, last, size.first, last).T(), &right); err != nil {
				t.Fatal(err)
			}
		} else {
			want = *mat.NewDense(size.count, size.columns, nil)
		}
		if err := (eigen.Algebra{}).Shift(v, e, size.n, size.first, size.count); err != nil {
			t.Fatal(err)
		}
		for i := range size.count {
			for j := range size.columns {
				if got, want := e[(size.first+i)*size.columns+j], -want.At(i, j); math.Abs(got-want) > 1e-8*math.Abs(want)+1e-8 {
					t.Fatalf("n = %d: value %d, %d is %g, want %g", size.n, i, j, got, want)
				}
			}
		}
	}
	if err := (eigen.Algebra{}).Factor([]float64{1, 2, 2, 1}, 2); !errors.Is(err, eigen.ErrNotDefinite) {
		t.Errorf("Factor of an indefinite matrix: %v", err)
	}
	if err := (eigen.Algebra{}).Shift(make([]float64, 4), make([]float64, 2), 2, 1, 2); err == nil {
		t.Error("Shift accepted rows beyond the last one")
	}
}
