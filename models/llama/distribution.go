package llama

import (
	. "github.com/gomlx/gomlx/pkg/core/graph" //nolint:staticcheck // gomlx graph code reads as formulas
	"github.com/gomlx/gomlx/pkg/core/shapes"
)

// Distribution is that over the vocabulary that logits stand for, in the parts that losses and their gradients need. A
// vocabulary's logits are far larger than a cache, so each pass over them counts: log probabilities and one-hot targets are never
// made, and sums are matrix products, which XLA's CPU backend runs in vectors, as it does not a reduction along rows.
type Distribution struct {
	Logits *Node // float32[t, v]
	LogSum *Node // float32[t, 1]: log of the sum of exp(Logits)

	exp *Node // float32[t, v]: exp(Logits - max)
	sum *Node // float32[t, 1]: of exp
}

// NewDistribution takes logits, float32[t, v].
func NewDistribution(logits *Node) Distribution {
	top := ReduceAndKeep(logits, ReduceMax, -1)
	exp := Exp(Sub(logits, top))
	sum := sumRows(exp)
	return Distribution{Logits: logits, LogSum: Add(top, Log(sum)), exp: exp, sum: sum}
}

// Weighted is the probabilities, each token's times its weight, float32[t, 1].
func (s Distribution) Weighted(weight *Node) *Node { return Mul(s.exp, Div(weight, s.sum)) }

// KL is KL(s || other) of each token, float32[t, 1].
func (s Distribution) KL(other Distribution) *Node {
	difference := Div(sumRows(Mul(s.exp, Sub(s.Logits, other.Logits))), s.sum) // the mean under s
	return Add(Sub(difference, s.LogSum), other.LogSum)
}

// sumRows is the sum of each row of float32[t, v], float32[t, 1].
func sumRows(x *Node) *Node {
	return Einsum("tv,vi->ti", x, Ones(x.Graph(), shapes.Make(x.DType(), x.Shape().Dim(-1), 1)))
}

// Target is the logit of one token in each row: what a cross entropy is of.
type Target struct {
	Logits *Node // float32[t, 1]
	rows   *Node // float32[t, e]: the tokens' rows of the output matrix
}

// Target looks up tokens int32[t, 1].
func (t *HeadTrace) Target(h *HeadBlock, tokens *Node) Target {
	rows := widen(Gather(h.Output, tokens))
	return Target{Logits: sumRows(Mul(t.Normed, rows)), rows: rows}
}

// Gradient turns the gradient of Logits, float32[t, 1], into that of HeadTrace.Normed, float32[t, e].
func (t Target) Gradient(dLogits *Node) *Node { return Mul(t.rows, dLogits) }
