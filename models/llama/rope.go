package llama

import (
	"math"

	. "github.com/gomlx/gomlx/pkg/core/graph" //nolint:staticcheck // gomlx graph code reads as formulas

	"prunellm/models"
)

// RoPE is a table of rotary position embedding as graph nodes, float32[t, r/2] with r = Config.RoPEDim.
type RoPE struct{ Cos, Sin *Node }

// tokens is the length of the sequences that the table is for.
func (r RoPE) tokens() int { return r.Cos.Shape().Dim(0) }

// ropeTables computes cos and sin of position * base^(-2i/r) / factor[i], in float64: float32 loses a long context's
// phases. Both are float32[tokens, r/2].
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

// rotate turns the elements (i, i+r/2) of each head by its position's angle; elements from r on pass. all is float32[s*t, n, d]: s
// sequences of as many tokens as the table has. Files that turn neighbours instead have their rows reordered when loaded
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

// rotateAdjoint is the adjoint of rotate: the rotation back.
func rotateAdjoint(dy *Node, rope RoPE) *Node {
	return rotate(dy, RoPE{Cos: rope.Cos, Sin: Neg(rope.Sin)})
}

// halvesFromPairs reorders the rows of each head from RoPEPairs to RoPEHalves: row 2i goes to i, row 2i+1 to i+r/2.
// Queries and keys are reordered alike, so their products stay the same. values is float32[heads*headDim, columns].
func halvesFromPairs(values []float32, heads, headDim, ropeDim int) []float32 {
	return reorderRows(values, heads, headDim, func(r int) (from, to int) { return r, halfOfPair(r, ropeDim) })
}

// pairsFromHalves is the way back.
func pairsFromHalves(values []float32, heads, headDim, ropeDim int) []float32 {
	return reorderRows(values, heads, headDim, func(r int) (from, to int) { return halfOfPair(r, ropeDim), r })
}

// halfOfPair is the row in RoPEHalves of row r in RoPEPairs.
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
