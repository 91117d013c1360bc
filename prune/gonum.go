package prune

import (
	"slices"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/mat"
)

// gonumAlgebra is LinearAlgebra in Go.
type gonumAlgebra struct{}

func (gonumAlgebra) Solve(a, b []float64, n int) error {
	var factor mat.Cholesky
	if !factor.Factorize(mat.NewSymDense(n, a)) {
		return errNotDefinite
	}
	right := mat.NewDense(n, len(b)/n, b)
	return factor.SolveTo(right, right)
}

func (gonumAlgebra) Multiply(a, b []float64, n int) ([]float64, error) {
	var product mat.Dense
	product.Mul(mat.NewSymDense(n, a), mat.NewDense(n, len(b)/n, b))
	return product.RawMatrix().Data, nil
}

// Factor reverses a in both directions, which makes V V^T the usual factorization L L^T, and reverses the result.
func (gonumAlgebra) Factor(a []float64, n int) error {
	slices.Reverse(a)
	var factor mat.Cholesky
	if !factor.Factorize(mat.NewSymDense(n, a)) {
		return errNotDefinite
	}
	var lower mat.TriDense
	factor.LTo(&lower)
	for i := range n {
		for j := range n {
			a[i*n+j] = lower.At(i, j)
		}
	}
	slices.Reverse(a)
	return nil
}

// Shift implements LinearAlgebra.
func (gonumAlgebra) Shift(v, e []float64, n, first, count int) error {
	columns := len(e) / n
	rows := func(from, to int) blas64.General {
		return blas64.General{Rows: to - from, Cols: columns, Stride: columns, Data: e[from*columns : to*columns]}
	}
	target := rows(first, first+count)
	clear(target.Data)
	if first == 0 {
		return nil
	}
	blas64.Gemm(blas.Trans, blas.NoTrans, -1, blas64.General{Rows: first, Cols: count, Stride: n, Data: v[first:]}, rows(0, first), 1, target)
	blas64.Trsm(blas.Left, blas.Trans, 1, blas64.Triangular{
		Uplo: blas.Upper, Diag: blas.NonUnit, N: count, Stride: n, Data: v[first*n+first:],
	}, target)
	return nil
}
