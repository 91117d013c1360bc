package llama

import (
	"math"
	"slices"

	. "github.com/gomlx/gomlx/pkg/core/graph" //nolint:staticcheck // gomlx graph code reads as formulas

	"prunellm/models"
)

// RoPE is the table of rotary position embedding as graph nodes, float32[t, r/2] with r = Config.RoPEDim.
type RoPE struct{ Cos, Sin *Node }

// tokens returns the length of the table's sequences.
func (r RoPE) tokens() int { return r.Cos.Shape().Dim(0) }

// ropeTables returns cos and sin of position * base^(-2i/r) / factor[i], both float32[tokens, r/2]. It computes in float64,
// because float32 loses the phases of a long context.
func ropeTables(config models.Config, tokens int) (cos, sin []float32) {
	half := config.RoPEDim / 2
	cos, sin = make([]float32, tokens*half), make([]float32, tokens*half)
	for i := range half {
		frequency := math.Pow(config.RoPEBase, -2*float64(i)/float64(config.RoPEDim))
		if config.RoPEFactors != nil {
			frequency /= float64(config.RoPEFactors[i])
		}
		for t := range tokens {
			s, c := math.Sincos(float64(t) * frequency)
			cos[t*half+i], sin[t*half+i] = float32(c), float32(s)
		}
	}
	return cos, sin
}

// unrotated returns the cosines and sines of a table of that size that rotates by nothing, so that layers with and without
// RoPE share a program.
func unrotated(size int) (cos, sin []float32) {
	return slices.Repeat([]float32{1}, size), make([]float32, size)
}

// rotate rotates the elements (i, i+r/2) of each head by its position's angle and passes elements from r on. all is
// float32[s*t, n, d]: s sequences as long as the table. Loading reorders the rows of files in layout RoPEPairs
// (halvesFromPairs).
func rotate(all *Node, rope RoPE) *Node {
	half := rope.Cos.Shape().Dim(-1)
	cos, sin := ExpandAxes(rope.Cos, 0, 2), ExpandAxes(rope.Sin, 0, 2) // float32[1, t, 1, r/2]
	x := Reshape(all, -1, rope.tokens(), all.Shape().Dim(1), all.Shape().Dim(2))
	first := SliceAxis(x, -1, AxisRange(0, half))
	second := SliceAxis(x, -1, AxisRange(half, 2*half))
	parts := []*Node{
		Sub(Mul(first, cos), Mul(second, sin)),
		Add(Mul(second, cos), Mul(first, sin)),
	}
	if x.Shape().Dim(-1) > 2*half {
		parts = append(parts, SliceAxis(x, -1, AxisRangeToEnd(2*half)))
	}
	return Reshape(Concatenate(parts, -1), all.Shape().Dimensions...)
}

// rotateAdjoint is the adjoint of rotate: the inverse rotation.
func rotateAdjoint(dy *Node, rope RoPE) *Node {
	return rotate(dy, RoPE{Cos: rope.Cos, Sin: Neg(rope.Sin)})
}

// halvesFromPairs reorders the rows of each head from RoPEPairs to RoPEHalves: row 2i goes to i, row 2i+1 to i+r/2.
// It reorders queries and keys alike, so their dot products stay the same. values is float32[heads*headDim, columns].
func halvesFromPairs(values []float32, heads, headDim, ropeDim int) []float32 {
	return reorderRows(values, heads, headDim, func(r int) (from, to int) { return r, halfOfPair(r, ropeDim) })
}

// pairsFromHalves is the inverse of halvesFromPairs.
func pairsFromHalves(values []float32, heads, headDim, ropeDim int) []float32 {
	return reorderRows(values, heads, headDim, func(r int) (from, to int) { return halfOfPair(r, ropeDim), r })
}

// halfOfPair returns the row in RoPEHalves of row r in RoPEPairs.
func halfOfPair(r, ropeDim int) int {
	if r < ropeDim {
		return r/2 + r%2*(ropeDim/2)
	}
	return r
}

// reorderRows moves rows within each head.
func reorderRows(values []float32, heads, headDim int, move func(r int) (from, to int)) []float32 {
	columns := len(values) / (heads * headDim)
	out := make([]float32, len(values))
	row := func(s []float32, head, r int) []float32 {
		start := (head*headDim + r) * columns
		return s[start : start+columns]
	}
	for head := range heads {
		for r := range headDim {
			from, to := move(r)
			copy(row(out, head, to), row(values, head, from))
		}
	}
	return out
}
