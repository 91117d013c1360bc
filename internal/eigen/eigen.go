package eigen

// #cgo noescape prunellm_solve
// #cgo nocallback prunellm_solve
// #cgo noescape prunellm_multiply
// #cgo nocallback prunellm_multiply
// #include "eigen.h"
import "C"

import (
	"errors"
	"fmt"

	"prunellm/internal/machine"
)

// ErrNotDefinite says that a matrix is not positive definite.
var ErrNotDefinite = errors.New("matrix is not positive definite")

// Fast tells whether this was compiled for a processor with AVX2. Without it, as in a binary for any x86-64 machine, XLA solves faster.
func Fast() bool { return C.prunellm_fast() != 0 }

// Algebra implements prune.LinearAlgebra.
type Algebra struct{}

// Solve overwrites b, float64[n, columns], with the solution of a x = b. a, float64[n, n], is symmetric, and is overwritten too. The
// error may be ErrNotDefinite; a NaN may go unnoticed, and makes the solution NaN.
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

// columns is how many b has. C++ checks nothing.
func columns(a, b []float64, n int) (int, error) {
	if n < 1 || len(a) != n*n || len(b)%n != 0 {
		return 0, fmt.Errorf("%d and %d values are no matrices of %d rows", len(a), len(b), n)
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
	return errors.New("no memory for a matrix")
}

func pointer(values []float64) *C.double { return (*C.double)(&values[0]) }

func threads() C.int { return C.int(machine.Cores()) }
