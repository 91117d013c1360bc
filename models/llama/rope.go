package llama

import (
	"math"
	"slices"

	. "github.com/gomlx/gomlx/pkg/core/graph" //nolint:staticcheck // gomlx graph code reads as formulas

	"prunellm/models"
)

// RoPE holds what depends on positions, as graph nodes: the tables of rotary position embedding and the window.
type RoPE struct {
	Cos, Sin *Node // float32[t, r/2] with r = Config.RoPEDim
	Window   *Node // int32[]: the number of tokens that a token attends to; nil if the model has no window
}

// tokens returns the length of the sequences that the tables are for.
func (r RoPE) tokens() int { return r.Cos.Shape().Dim(0) }

// ropeTables returns cos and sin of position / scale * base^(-2i/r) / factor[i], both float32[tokens, r/2]. It computes in float64,
// because float32 loses the phases of a long context.
func ropeTables(config models.Config, base, scale float64, tokens int) (cos, sin []float32) {
	half := config.RoPEDim / 2
	cos, sin = make([]float32, tokens*half), make([]float32, tokens*half)
	for i := range half {
		frequency := math.Pow(base, -2*float64(i)/float64(config.RoPEDim)) / scale
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

// unrotated returns tables of the given size whose angles are all zero. With them, layers without RoPE use the same
// program as layers with RoPE.
func unrotated(size int) (cos, sin []float32) {
	return slices.Repeat([]float32{1}, size), make([]float32, size)
}

// rotate rotates the elements (i, i+r/2) of each head by the angle of the token's position and leaves elements from r
// on unchanged. all is float32[s*t, n, d]: s sequences as long as the table. The elements are in layout RoPEHalves,
// because loading reorders the rows of files in layout RoPEPairs (halvesFromPairs).
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

// rotateAdjoint is the adjoint of rotate, which is the inverse rotation.
func rotateAdjoint(dy *Node, rope RoPE) *Node {
	return rotate(dy, RoPE{Cos: rope.Cos, Sin: Neg(rope.Sin)})
}

// halvesFromPairs reorders the rows of each head from RoPEPairs to RoPEHalves: row 2i becomes row i, and row 2i+1
// becomes row i+r/2. Queries and keys are reordered alike, so their dot products do not change. values is
// float32[heads*headDim, columns].
func halvesFromPairs(values []float32, heads, headDim, ropeDim int) []float32 {
	return reorderRows(values, heads, headDim, func(r int) (from, to int) { return r, halfOfPair(r, ropeDim) })
}

// pairsFromHalves is the inverse of halvesFromPairs.
func pairsFromHalves(values []float32, heads, headDim, ropeDim int) []float32 {
	return reorderRows(values, heads, headDim, func(r int) (from, to int) { return halfOfPair(r, ropeDim), r })
}

// halfOfPair returns where row r of RoPEPairs is in RoPEHalves.
func halfOfPair(r, ropeDim int) int {
	if r < ropeDim {
		return r/2 + r%2*(ropeDim/2)
	}
	return r
}

// reorderRows copies rows within each head from one place to another, as move says.
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
