package prune

import (
	"errors"
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

// solver solves symmetric positive definite systems in float64 on the device: A X = B with A float64[n, n] and B
// float64[n, e], which a graph computes from its arguments.
//
// It inverts the first half of A and the Schur complement of the second. This takes half the operations of inverting A, on
// matrices that are more likely to fit a cache. It sweeps a half block by block (Goodnight 1979). With C the block's columns
// and D the inverse of its diagonal block, a sweep writes A - C D C^T everywhere, C D in the block's rows and columns, and -D
// in the block itself. After all blocks A has become -A^-1. No pivoting is needed, because A is positive definite; the ridge
// bounds its condition. Nearly all of the work is matmuls, which XLA computes ten times as fast as gonum's Cholesky. gonum
// inverts the diagonal blocks on the host.
type solver struct {
	model  *llama.Model
	system *Exec // any -> a, b, a's first half A11 float64[n1, n1], its first diagonal block
	step   *Exec // a, d float64[b, b], start int32 -> a', the next diagonal block float64[b, b]
	schur  *Exec // a, b, A11 (swept) -> see schur
	finish *Exec // S (swept), R, P -> X float32[n, e]
	whole  *Exec // a (swept), b -> X float32[n, e], for a single block
}

// errNotDefinite reports a matrix that is not positive definite.
var errNotDefinite = errors.New("matrix is not positive definite")

// solvesOn reports whether a backend supports the solver.
func solvesOn(backend backends.Backend) bool {
	operations := backend.Capabilities().Operations
	return operations[backends.OpTypeDynamicSlice] && operations[backends.OpTypeDynamicUpdateSlice]
}

// newSolver returns a solver of the systems A, B that a graph computes from its arguments.
func newSolver(m *llama.Model, system func(args []*Node) (a, b *Node)) (*solver, error) {
	s := &solver{model: m}
	for _, program := range []struct {
		name  string
		exec  **Exec
		graph func(args []*Node) []*Node
	}{
		{"system", &s.system, func(args []*Node) []*Node {
			a, b := system(args)
			half := AxisRange(0, firstBlocks(a.Shape().Dim(0)))
			return []*Node{a, b, Slice(a, half, half), firstDiagonal(a)}
		}},
		{"sweep", &s.step, sweep}, {"schur", &s.schur, schur}, {"solve", &s.finish, finishHalves},
		{"solve block", &s.whole, func(args []*Node) []*Node { return []*Node{ConvertDType(negMatmul(args[0], args[1]), dtypes.Float32)} }},
	} {
		var err error
		if *program.exec, err = m.Compile(program.name, program.graph); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// firstBlocks returns the size of the first half of a system of n unknowns, a multiple of solveBlock.
func firstBlocks(n int) int { return (n/2 + solveBlock - 1) / solveBlock * solveBlock }

func firstDiagonal(a *Node) *Node {
	return Slice(a, AxisRange(0, solveBlock), AxisRange(0, solveBlock))
}

func negMatmul(a, b *Node) *Node { return Neg(Einsum("nm,mk->nk", a, b)) }

// schur is the graph that eliminates the first half. From a, b and the swept A11 it computes S = A22 - A21 A11^-1 A12,
// its first diagonal block, R = B2 - A21 A11^-1 B1, and P = A11^-1 [A12 B1].
func schur(args []*Node) []*Node {
	a, b, inverse := args[0], args[1], args[2]
	n, half := a.Shape().Dim(0), inverse.Shape().Dim(0)
	upper, lower := AxisRange(0, half), AxisRange(half, n)
	a12 := Slice(a, upper, lower)
	p := negMatmul(inverse, Concatenate([]*Node{a12, Slice(b, upper)}, 1))
	rest := Sub(Concatenate([]*Node{Slice(a, lower, lower), Slice(b, lower)}, 1), Einsum("nm,mk->nk", Slice(a, lower, upper), p))
	s := Slice(rest, AxisRange(), AxisRange(0, n-half))
	return []*Node{s, firstDiagonal(s), Slice(rest, AxisRange(), AxisRange(n-half, rest.Shape().Dim(1))), p}
}

// finishHalves is the graph of X2 = S^-1 R and X1 = A11^-1 B1 - A11^-1 A12 X2.
func finishHalves(args []*Node) []*Node {
	swept, r, p := args[0], args[1], args[2]
	rest, columns := swept.Shape().Dim(0), p.Shape().Dim(1)
	x2 := negMatmul(swept, r)
	x1 := Sub(Slice(p, AxisRange(), AxisRange(rest, columns)), Einsum("nm,mk->nk", Slice(p, AxisRange(), AxisRange(0, rest)), x2))
	return []*Node{ConvertDType(Concatenate([]*Node{x1, x2}, 0), dtypes.Float32)}
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
	next := AddScalar(start, solveBlock) // after the last block XLA clamps it, and the result is not used
	return []*Node{a, DynamicSlice(a, []*Node{next, next}, []int{solveBlock, solveBlock})}
}

// solve returns X, float32[n, e], on the device, for the system that the graph computes from args. n is a multiple of
// solveBlock.
func (s *solver) solve(args ...any) (x *tensors.Tensor, err error) {
	defer llama.Guard(&err)
	system, err := s.system.Exec(args...)
	if err != nil {
		return nil, err
	}
	a, b := system[0], system[1]
	defer llama.Release(a, b)
	swept, err := s.invert(system[2], system[3])
	if err != nil {
		return nil, err
	}
	defer llama.Release(swept)
	if swept.Shape().Dim(0) == a.Shape().Dim(0) {
		return s.whole.Exec1(swept, b)
	}
	parts, err := s.schur.Exec(a, b, swept)
	if err != nil {
		return nil, err
	}
	defer llama.Release(parts[2:]...)
	complement, err := s.invert(parts[0], parts[1])
	if err != nil {
		return nil, err
	}
	defer llama.Release(complement)
	return s.finish.Exec1(complement, parts[2], parts[3])
}

// invert returns -A^-1, given A's first diagonal block too. It consumes both.
func (s *solver) invert(a, block *tensors.Tensor) (*tensors.Tensor, error) {
	n := a.Shape().Dim(0)
	for start := 0; start < n; start += solveBlock {
		inverse, err := s.invertBlock(block)
		llama.Release(block)
		if err != nil {
			llama.Release(a)
			return nil, err
		}
		next, nextBlock, err := s.step.Exec2(a, inverse, int32(start))
		llama.Release(inverse, a)
		if err != nil {
			return nil, err
		}
		a, block = next, nextBlock
	}
	llama.Release(block)
	return a, nil
}

// invertBlock inverts one diagonal block on the host.
func (s *solver) invertBlock(block *tensors.Tensor) (*tensors.Tensor, error) {
	values, err := llama.Download[float64](block)
	if err != nil {
		return nil, err
	}
	var factor mat.Cholesky
	if !factor.Factorize(mat.NewSymDense(solveBlock, values)) {
		return nil, fmt.Errorf("least squares: %w: %w", errNotDefinite, ErrNotFinite)
	}
	var inverse mat.SymDense
	if err := factor.InverseTo(&inverse); err != nil {
		return nil, fmt.Errorf("least squares: %w", err)
	}
	full := mat.DenseCopyOf(&inverse)
	return s.model.UploadDoubles(full.RawMatrix().Data, solveBlock, solveBlock)
}

// deviceFitter keeps the sums on the device and solves there.
type deviceFitter struct {
	solver  *solver
	misfits *Exec // misfitGraph
}

func newDeviceFitter(m *llama.Model) (d deviceFitter, err error) {
	if d.solver, err = newSolver(m, ridgeSystem); err != nil {
		return d, err
	}
	d.misfits, err = m.Compile("misfit", misfitGraph)
	return d, err
}

func (deviceFitter) padding() paddingCost { return deviceFits }

func (d deviceFitter) fit(s layerSums, share float64, old *tensors.Tensor, ridge float64, neurons int) (*tensors.Tensor, error) {
	return d.solver.solve(s.fit.gram, s.fit.cross, s.held.gram, s.held.cross, share, old, ridge/float64(neurons))
}

// round leaves x unchanged, because the device has no factorization by blocks of neurons. Emit still rounds the stored values.
func (deviceFitter) round(layerSums, float64, []float32, float64, int, Grid) error { return nil }

func (d deviceFitter) heldOutError(s layerSums, old *tensors.Tensor, ridge float64, neurons int) (float64, error) {
	w, err := d.fit(s, 0, old, ridge, neurons)
	if err != nil {
		return 0, err
	}
	defer llama.Release(w)
	result, err := d.misfits.Exec1(w, s.held.gram, s.held.cross)
	if err != nil {
		return 0, err
	}
	defer llama.Release(result)
	values, err := llama.Download[float64](result)
	if err != nil {
		return 0, err
	}
	return values[0], nil
}

// ridgeSystem is the graph of a fitter's system A = G + mu I, B = C + mu W. Its argument ridge is already divided by the number
// of neurons without padding.
func ridgeSystem(args []*Node) (a, b *Node) {
	gram, cross, heldGram, heldCross, share, old, ridge := args[0], args[1], args[2], args[3], args[4], args[5], args[6]
	gram, cross = Add(gram, Mul(heldGram, share)), Add(cross, Mul(heldCross, share))
	n := gram.Shape().Dim(0)
	g := gram.Graph()
	row, column := Iota(g, shapes.Make(dtypes.Int32, n, n), 0), Iota(g, shapes.Make(dtypes.Int32, n, n), 1)
	identity := ConvertDType(Equal(row, column), dtypes.Float64)
	mu := AddScalar(Mul(ReduceAllSum(Mul(gram, identity)), ridge), tinyRidge)
	return Add(gram, Mul(identity, mu)), Add(cross, Mul(ConvertDType(old, dtypes.Float64), mu))
}

// misfitGraph is the graph of a projection's squared error over the tokens of some sums, up to a constant: float64.
func misfitGraph(args []*Node) []*Node {
	w, gram, cross := ConvertDType(args[0], dtypes.Float64), args[1], args[2]
	return []*Node{ReduceAllSum(Mul(w, Sub(Einsum("nm,me->ne", gram, w), MulScalar(cross, 2))))}
}
