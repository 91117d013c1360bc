package eigen

// #cgo noescape prunellm_solve
// #cgo nocallback prunellm_solve
// #cgo noescape prunellm_multiply
// #cgo nocallback prunellm_multiply
// #cgo noescape prunellm_factor
// #cgo nocallback prunellm_factor
// #cgo noescape prunellm_shift
// #cgo nocallback prunellm_shift
// #include "eigen.h"
import "C"

import (
	"errors"
	"fmt"

	"prunellm/internal/machine"
)

// ErrNotDefinite reports a matrix that is not positive definite.
var ErrNotDefinite = errors.New("matrix is not positive definite")

// Fast reports whether the build targets a processor with AVX2. Without it, as in a binary for any x86-64 machine, XLA
// solves faster.
func Fast() bool { return C.prunellm_fast() != 0 }

// Algebra implements prune.LinearAlgebra.
type Algebra struct{}

// Solve overwrites b, float64[n, columns], with the solution of a x = b. a, float64[n, n], is symmetric; Solve
// overwrites it too. The error may be ErrNotDefinite; Solve may miss a NaN, which makes the solution NaN.
func (Algebra) Solve(a, b []float64, n int) error {
	columns, err := columns(a, b, n)
	if err != nil || columns == 0 {
		return err
	}
	return fault(C.prunellm_solve(pointer(a), pointer(b), C.long(n), C.long(columns), threads()))
}

// Multiply returns a b, float64[n, columns], of a float64[n, n], which is symmetric, and b float64[n, columns].
func (Algebra) Multiply(a, b []float64, n int) ([]float64, error) {
	columns, err := columns(a, b, n)
	if err != nil || columns == 0 {
		return nil, err
	}
	c := make([]float64, len(b))
	return c, fault(C.prunellm_multiply(pointer(a), pointer(b), pointer(c), C.long(n), C.long(columns), threads()))
}

// Factor overwrites a, float64[n, n], which is symmetric, with an upper triangular V: a = V V^T. The values below the
// diagonal are undefined. The error may be ErrNotDefinite; Factor may miss a NaN.
func (Algebra) Factor(a []float64, n int) error {
	if _, err := columns(a, nil, n); err != nil {
		return err
	}
	return fault(C.prunellm_factor(pointer(a), C.long(n)))
}

// Shift sets rows R of e, float64[n, columns], count of them from first on: e_R = -V_RR^-T (sum over the rows P before
// them of V_PR^T e_P). v is Factor's result.
func (Algebra) Shift(v, e []float64, n, first, count int) error {
	columns, err := columns(v, e, n)
	if err != nil || columns == 0 {
		return err
	}
	if first < 0 || count < 1 || count > n-first {
		return fmt.Errorf("rows %d to %d are not within %d", first, first+count, n)
	}
	return fault(C.prunellm_shift(pointer(v), pointer(e), C.long(n), C.long(columns), C.long(first), C.long(count), threads()))
}

// columns returns the number of b's columns. C++ checks no sizes.
func columns(a, b []float64, n int) (int, error) {
	if n < 1 || len(a) != n*n || len(b)%n != 0 {
		return 0, fmt.Errorf("%d and %d values are not matrices of %d rows", len(a), len(b), n)
	}
	return len(b) / n, nil
}

func fault(code C.int) error {
	switch code {
	case 0:
		return nil
	case C.PRUNELLM_NOT_DEFINITE:
		return ErrNotDefinite
	}
	return errors.New("out of memory for a matrix")
}

func pointer(values []float64) *C.double { return (*C.double)(&values[0]) }

func threads() C.int { return C.int(machine.Cores()) }
