package llama

import (
	. "github.com/gomlx/gomlx/pkg/core/graph" //nolint:staticcheck // gomlx graph code reads as formulas
	"github.com/gomlx/gomlx/pkg/core/shapes"
)

// Distribution is the softmax of logits over the vocabulary, split into the parts that losses and their gradients need.
// The logits are far larger than a CPU cache, so every pass over them costs time. The code therefore never stores log
// probabilities or one-hot targets. It sums by matmuls, because XLA's CPU backend vectorizes those but not a reduction
// along rows.
type Distribution struct {
	Logits *Node // float32[t, v]
	LogSum *Node // float32[t, 1]: log of the sum of exp(Logits)

	exp *Node // float32[t, v]: exp(Logits - max)
	sum *Node // float32[t, 1]: sum of exp
}

// NewDistribution returns the distribution of logits, float32[t, v].
func NewDistribution(logits *Node) Distribution {
	top := ReduceAndKeep(logits, ReduceMax, -1)
	exp := Exp(Sub(logits, top))
	sum := sumRows(exp)
	return Distribution{Logits: logits, LogSum: Add(top, Log(sum)), exp: exp, sum: sum}
}

// Weighted returns the probabilities, float32[t, v], with each row multiplied by a weight, float32[t, 1].
func (s Distribution) Weighted(weight *Node) *Node { return Mul(s.exp, Div(weight, s.sum)) }

// KL returns KL(s || other) of each token, float32[t, 1].
func (s Distribution) KL(other Distribution) *Node {
	difference := Div(sumRows(Mul(s.exp, Sub(s.Logits, other.Logits))), s.sum) // expectation under s
	return Add(Sub(difference, s.LogSum), other.LogSum)
}

// sumRows returns the sum of each row of float32[t, v] as float32[t, 1].
func sumRows(x *Node) *Node {
	return Einsum("tv,vi->ti", x, Ones(x.Graph(), shapes.Make(x.DType(), x.Shape().Dim(-1), 1)))
}

// Target holds the logit of one token per row, for a cross entropy.
type Target struct {
	Logits *Node // float32[t, 1]
	rows   *Node // float32[t, e]: the tokens' rows of the output matrix
}

// Target computes the logits of the given tokens, int32[t, 1], one per row.
func (t *HeadTrace) Target(h *HeadBlock, tokens *Node) Target {
	rows := widen(Gather(h.Output, tokens))
	return Target{Logits: sumRows(Mul(t.Normed, rows)), rows: rows}
}

// Gradient returns the gradient of HeadTrace.Normed, float32[t, e], given the gradient of Logits, float32[t, 1].
func (t Target) Gradient(dLogits *Node) *Node { return Mul(t.rows, dLogits) }
