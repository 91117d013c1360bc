package prune

import (
	"fmt"

	"github.com/gomlx/gomlx/backends"
	"github.com/gomlx/gomlx/pkg/core/dtypes"
	. "github.com/gomlx/gomlx/pkg/core/graph" //nolint:staticcheck // gomlx graph code reads as formulas
	"github.com/gomlx/gomlx/pkg/core/shapes"
	"github.com/gomlx/gomlx/pkg/core/tensors"
	"gonum.org/v1/gonum/mat"

	"prunellm/models/llama"
)

// solveBlock is the number of rows that one step of the solver eliminates; systems are padded to multiples of it.
const solveBlock = 128

// solver solves symmetric positive definite systems in float64 on the device: A X = B with A float64[n, n] and
// B float64[n, e].
//
// It sweeps A block by block (Goodnight 1979): with C the block's columns and D the inverse of its diagonal block,
// A - C D C^T everywhere, C D in the block's rows and columns, -D in the block itself. After all blocks A has become
// -A^-1. No pivoting is needed, as A is positive definite; the ridge bounds its condition. Matrix products do nearly all
// of the work, so XLA does 1024 x 1024 in some 30 ms, where gonum's Cholesky takes ten times as long; the diagonal
// blocks are inverted by gonum on the host.
type solver struct {
	model    *llama.Model
	step     *Exec // a, d float64[b, b], start int32 -> a', the next diagonal block float64[b, b]
	diagonal *Exec // a -> the first diagonal block
	finish   *Exec // a (swept), b -> X float32[n, e]
	onHost   bool  // the backend lacks dynamic slices: gonum does all of it
}

func newSolver(m *llama.Model) (*solver, error) {
	s := &solver{model: m}
	operations := m.Backend().Capabilities().Operations
	s.onHost = !operations[backends.OpTypeDynamicSlice] || !operations[backends.OpTypeDynamicUpdateSlice]
	var err error
	if s.step, err = m.Compile("sweep", sweep); err != nil {
		return nil, err
	}
	s.diagonal, err = m.Compile("diagonal", func(args []*Node) []*Node {
		return []*Node{Slice(args[0], AxisRange(0, solveBlock), AxisRange(0, solveBlock))}
	})
	if err != nil {
		return nil, err
	}
	s.finish, err = m.Compile("solve", func(args []*Node) []*Node {
		return []*Node{ConvertDType(Neg(Einsum("nm,me->ne", args[0], args[1])), dtypes.Float32)}
	})
	return s, err
}

// sweep eliminates one block; see solver.
func sweep(args []*Node) []*Node {
	a, d, start := args[0], args[1], args[2]
	n, zero := a.Shape().Dim(0), ScalarZero(a.Graph(), dtypes.Int32)
	c := DynamicSlice(a, []*Node{zero, start}, []int{n, solveBlock})
	cd := Einsum("nb,bc->nc", c, d)
	a = Sub(a, Einsum("nb,mb->nm", cd, c))
	a = DynamicUpdateSlice(a, cd, []*Node{zero, start})
	a = DynamicUpdateSlice(a, Transpose(cd, 0, 1), []*Node{start, zero})
	a = DynamicUpdateSlice(a, Neg(d), []*Node{start, start})
	next := AddScalar(start, solveBlock) // beyond the last block XLA clamps it, and nobody reads the result
	return []*Node{a, DynamicSlice(a, []*Node{next, next}, []int{solveBlock, solveBlock})}
}

// solve returns X, float32[n, e], on the device. n is a multiple of solveBlock. It consumes neither argument.
func (s *solver) solve(a, b *tensors.Tensor) (x *tensors.Tensor, err error) {
	defer llama.Guard(&err)
	if s.onHost {
		return s.solveOnHost(a, b)
	}
	n := a.Shape().Dim(0)
	block, err := s.diagonal.Exec1(a)
	if err != nil {
		return nil, err
	}
	swept := a
	defer func() {
		llama.Release(block)
		if swept != a {
			llama.Release(swept)
		}
	}()
	for start := 0; start < n; start += solveBlock {
		inverse, err := s.invertBlock(block)
		if err != nil {
			return nil, err
		}
		next, nextBlock, err := s.step.Exec2(swept, inverse, int32(start))
		llama.Release(inverse)
		if err != nil {
			return nil, err
		}
		llama.Release(block)
		if swept != a {
			llama.Release(swept)
		}
		swept, block = next, nextBlock
	}
	return s.finish.Exec1(swept, b)
}

// invertBlock inverts one diagonal block on the host.
func (s *solver) invertBlock(block *tensors.Tensor) (*tensors.Tensor, error) {
	values, err := llama.Download[float64](block)
	if err != nil {
		return nil, err
	}
	var factor mat.Cholesky
	if !factor.Factorize(mat.NewSymDense(solveBlock, values)) {
		return nil, fmt.Errorf("least squares: matrix is not positive definite: %w", ErrNotFinite)
	}
	var inverse mat.SymDense
	if err := factor.InverseTo(&inverse); err != nil {
		return nil, fmt.Errorf("least squares: %w", err)
	}
	full := mat.DenseCopyOf(&inverse)
	return s.model.UploadDoubles(full.RawMatrix().Data, solveBlock, solveBlock)
}

// solveOnHost is gonum's Cholesky, for backends without dynamic slices.
func (s *solver) solveOnHost(a, b *tensors.Tensor) (*tensors.Tensor, error) {
	matrix, err := llama.Download[float64](a)
	if err != nil {
		return nil, err
	}
	right, err := llama.Download[float64](b)
	if err != nil {
		return nil, err
	}
	n, columns := b.Shape().Dim(0), b.Shape().Dim(1)
	var factor mat.Cholesky
	if !factor.Factorize(mat.NewSymDense(n, matrix)) {
		return nil, fmt.Errorf("least squares: matrix is not positive definite: %w", ErrNotFinite)
	}
	var x mat.Dense
	if err := factor.SolveTo(&x, mat.NewDense(n, columns, right)); err != nil {
		return nil, fmt.Errorf("least squares: %w", err)
	}
	out := make([]float32, n*columns)
	for i, value := range x.RawMatrix().Data {
		out[i] = float32(value)
	}
	return s.model.Upload(out, n, columns)
}

// tinyRidge keeps a system of zeros definite; beside any real sum it vanishes.
const tinyRidge = 1e-100

// ridgeSystem is the graph of A = G + mu I and B = C + mu W with mu = ridge * mean(diag G).
//
// gram float64[n, n] is the sum of h h^T, cross float64[n, e] the sum of h y^T, old float32[n, e] the weights that the
// ridge pulls towards, ridge float64 the factor divided by the number of neurons that are not padding.
func ridgeSystem(args []*Node) []*Node {
	gram, cross, old, ridge := args[0], args[1], args[2], args[3]
	n := gram.Shape().Dim(0)
	g := gram.Graph()
	row, column := Iota(g, shapes.Make(dtypes.Int32, n, n), 0), Iota(g, shapes.Make(dtypes.Int32, n, n), 1)
	identity := ConvertDType(Equal(row, column), dtypes.Float64)
	// Where no kept neuron was ever active the sums are zero, and the old weights are as good as any.
	mu := AddScalar(Mul(ReduceAllSum(Mul(gram, identity)), ridge), tinyRidge)
	return []*Node{
		Add(gram, Mul(identity, mu)),
		Add(cross, Mul(ConvertDType(old, dtypes.Float64), mu)),
	}
}
