package llama

import (
	. "github.com/gomlx/gomlx/pkg/core/graph" //nolint:staticcheck // gomlx graph code reads as formulas
	"github.com/gomlx/gomlx/pkg/core/shapes"
)

// Distribution is the softmax of logits over the vocabulary, in the parts that losses and their gradients need. The logits are
// far larger than a cache, so each pass over them counts. No log probabilities or one-hot targets exist in memory, and sums
// are matmuls, which XLA's CPU backend vectorizes, unlike a reduction along rows.
type Distribution struct {
	Logits *Node // float32[t, v]
	LogSum *Node // float32[t, 1]: log of the sum of exp(Logits)

	exp *Node // float32[t, v]: exp(Logits - max)
	sum *Node // float32[t, 1]: of exp
}

// NewDistribution returns the distribution of logits, float32[t, v].
func NewDistribution(logits *Node) Distribution {
	top := ReduceAndKeep(logits, ReduceMax, -1)
	exp := Exp(Sub(logits, top))
	sum := sumRows(exp)
	return Distribution{Logits: logits, LogSum: Add(top, Log(sum)), exp: exp, sum: sum}
}

// Weighted returns the probabilities, float32[t, v], each token's times its weight, float32[t, 1].
func (s Distribution) Weighted(weight *Node) *Node { return Mul(s.exp, Div(weight, s.sum)) }

// KL returns KL(s || other) of each token, float32[t, 1].
func (s Distribution) KL(other Distribution) *Node {
	difference := Div(sumRows(Mul(s.exp, Sub(s.Logits, other.Logits))), s.sum) // the mean under s
	return Add(Sub(difference, s.LogSum), other.LogSum)
}

// sumRows returns the sum of each row of float32[t, v] as float32[t, 1].
func sumRows(x *Node) *Node {
	return Einsum("tv,vi->ti", x, Ones(x.Graph(), shapes.Make(x.DType(), x.Shape().Dim(-1), 1)))
}

// Target is the logit of one token in each row, for a cross entropy.
type Target struct {
	Logits *Node // float32[t, 1]
	rows   *Node // float32[t, e]: the tokens' rows of the output matrix
}

// Target looks up tokens, int32[t, 1].
func (t *HeadTrace) Target(h *HeadBlock, tokens *Node) Target {
	rows := widen(Gather(h.Output, tokens))
	return Target{Logits: sumRows(Mul(t.Normed, rows)), rows: rows}
}

// Gradient returns the gradient of HeadTrace.Normed, float32[t, e], from that of Logits, float32[t, 1].
func (t Target) Gradient(dLogits *Node) *Node { return Mul(t.rows, dLogits) }
