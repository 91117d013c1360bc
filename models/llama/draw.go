package llama

import (
	"github.com/gomlx/gomlx/pkg/core/dtypes"
	. "github.com/gomlx/gomlx/pkg/core/graph" //nolint:staticcheck // gomlx graph code reads as formulas
	"github.com/gomlx/gomlx/pkg/core/shapes"
)

// drawBlock is the number of vocabulary entries in a block of Draw.
const drawBlock = 256

// Draw samples one token for each row, int32[t, 1]. It evaluates the inverse of the cumulative distribution at uniform,
// float32[t, 1] in [0, 1). The same numbers give the same tokens.
//
// XLA's CPU backend computes a running sum over n entries with a window of n entries, which is slow for a whole
// vocabulary. Draw therefore first finds the block from the running sum of the blocks' sums, then the token within the
// block. Both running sums are matmuls with a triangle of ones.
func (s Distribution) Draw(uniform *Node) *Node {
	g, rows, vocab := s.exp.Graph(), s.exp.Shape().Dim(0), s.exp.Shape().Dim(-1)
	blocks := (vocab + drawBlock - 1) / drawBlock
	exp := s.exp
	if missing := blocks*drawBlock - vocab; missing > 0 {
		exp = Concatenate([]*Node{exp, Zeros(g, shapes.Make(exp.DType(), rows, missing))}, -1)
	}
	exp = Reshape(exp, rows, blocks, drawBlock)

	mass := runningSum(ReduceSum(exp, -1)) // float32[t, blocks]
	target := below(uniform, SliceAxis(mass, -1, AxisRange(blocks-1, blocks)))
	block := firstAbove(mass, target) // int32[t, 1]
	before := ReduceAndKeep(Where(LessOrEqual(mass, target), mass, ZerosLike(mass)), ReduceMax, -1)

	first := Mul(Iota(g, shapes.Make(dtypes.Int32, rows, 1), 0), Scalar(g, dtypes.Int32, blocks))
	inner := runningSum(Gather(Reshape(exp, rows*blocks, drawBlock), Add(first, block)))
	rest := Max(Sub(target, before), ZerosLike(target))
	total := SliceAxis(inner, -1, AxisRange(drawBlock-1, drawBlock))
	token := firstAbove(inner, Min(rest, below(OnesLike(total), total)))
	token = Add(Mul(block, Scalar(g, dtypes.Int32, drawBlock)), token)
	return Min(token, Scalar(g, dtypes.Int32, vocab-1))
}

// runningSum returns the running sum of each row of x, float32[t, n]. Column i holds the sum up to and including column
// i.
func runningSum(x *Node) *Node {
	n := x.Shape().Dim(-1)
	square := shapes.Make(dtypes.Int32, n, n)
	upTo := ConvertDType(LessOrEqual(Iota(x.Graph(), square, 0), Iota(x.Graph(), square, 1)), x.DType())
	return Einsum("ti,ij->tj", x, upTo)
}

// below returns share * total, but always less than total, so that rounding cannot skip the last entry.
func below(share, total *Node) *Node { return Mul(MinScalar(share, 1-1e-6), total) }

// firstAbove returns the first column in each row of running sums, float32[t, n], that exceeds bound, float32[t, 1].
// The result is int32[t, 1]. It never returns an entry with probability zero.
func firstAbove(sums, bound *Node) *Node {
	passed := ConvertDType(LessOrEqual(sums, bound), dtypes.Int32)
	return MinScalar(ReduceAndKeep(passed, ReduceSum, -1), sums.Shape().Dim(-1)-1)
}
