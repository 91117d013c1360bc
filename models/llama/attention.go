package llama

import (
	"math"

	. "github.com/gomlx/gomlx/pkg/core/graph" //nolint:staticcheck // gomlx graph code reads as formulas
	"github.com/gomlx/gomlx/pkg/core/shapes"

	"prunellm/models"
)

// attentionTrace is what the adjoint of attention needs.
type attentionTrace struct {
	input                 *Node // float32[t, e]: normalised
	queries, keys, values *Node // float32[k, q, d], float32[k, u, d], float32[k, u, d], rotated
	weights               *Node // float32[k, q, u], softmax over u
	context               *Node // float32[k, q, d]
	queryNorm, keyNorm    normTrace
}

// attention is causal grouped-query attention of a normalised input x, float32[t, e], with the output projection:
// softmax(q k^T / sqrt(d)) v, projected back to float32[t, e].
func attention(c models.Config, b *Block, rope RoPE, x *Node) (y *Node, trace attentionTrace) {
	tokens := x.Shape().Dim(0)
	trace.input = x
	q := project(x, b.Q, b.QBias, c.Heads, c.HeadDim)
	k := project(x, b.K, b.KBias, c.KVHeads, c.HeadDim)
	v := project(x, b.V, b.VBias, c.KVHeads, c.HeadDim)
	if c.QKNorm {
		q, trace.queryNorm = rmsNorm(q, b.QNorm, c.RMSEpsilon)
		k, trace.keyNorm = rmsNorm(k, b.KNorm, c.RMSEpsilon)
	}
	trace.queries = groupHeads(c, rotate(q, rope))
	trace.keys = TransposeAllAxes(rotate(k, rope), 1, 0, 2)
	trace.values = TransposeAllAxes(v, 1, 0, 2)

	scores := MulScalar(Einsum("kqd,kud->kqu", trace.queries, trace.keys), attentionScale(c))
	grouped := Reshape(scores, c.KVHeads, c.Heads/c.KVHeads, tokens, tokens)
	causal := BroadcastToDims(ExpandLeftToRank(LowerTriangular(x.Graph(), tokens), 4), grouped.Shape().Dimensions...)
	grouped = Where(causal, grouped, Scalar(x.Graph(), x.DType(), -1e30))
	trace.weights = Reshape(Softmax(grouped, -1), c.KVHeads, -1, tokens)

	trace.context = Einsum("kqu,kud->kqd", trace.weights, trace.values)
	trace.context.AssertDims(c.KVHeads, c.Heads/c.KVHeads*tokens, c.HeadDim)
	return Einsum("tj,ej->te", flattenHeads(c, trace.context), b.O), trace
}

// attentionAdjoint turns the gradient of attention's result, float32[t, e], into that of its input, float32[t, e], and
// notes those of its weights.
func attentionAdjoint(c models.Config, b *Block, rope RoPE, trace attentionTrace, dy *Node, grads *Gradients) (dx *Node) {
	tokens := dy.Shape().Dim(0)
	grads.Products[models.AttnOutput] = Product{In: flattenHeads(c, trace.context), Out: dy}
	dContext := groupHeads(c, Reshape(Einsum("te,ej->tj", dy, b.O), tokens, c.Heads, c.HeadDim))
	dWeights := Einsum("kqd,kud->kqu", dContext, trace.values)
	dValues := Einsum("kqu,kqd->kud", trace.weights, dContext)
	// Softmax: ds = p * (dp - sum_u(dp*p)), and that sum is the product of the context with its own gradient.
	along := ReduceAndKeep(Mul(dContext, trace.context), ReduceSum, -1)
	dScores := MulScalar(Mul(trace.weights, Sub(dWeights, along)), attentionScale(c))
	dQueries := Einsum("kqu,kud->kqd", dScores, trace.keys)
	dKeys := Einsum("kqu,kqd->kud", dScores, trace.queries)

	dq := rotateAdjoint(Reshape(flattenHeads(c, dQueries), tokens, c.Heads, c.HeadDim), rope)
	dk := rotateAdjoint(TransposeAllAxes(dKeys, 1, 0, 2), rope)
	dv := TransposeAllAxes(dValues, 1, 0, 2)
	if c.QKNorm {
		grads.Vectors[models.AttnQNorm] = normWeightGradient(trace.queryNorm, dq)
		grads.Vectors[models.AttnKNorm] = normWeightGradient(trace.keyNorm, dk)
		dq = rmsNormAdjoint(trace.queryNorm, b.QNorm, dq)
		dk = rmsNormAdjoint(trace.keyNorm, b.KNorm, dk)
	}
	dq, dk, dv = Reshape(dq, tokens, -1), Reshape(dk, tokens, -1), Reshape(dv, tokens, -1)
	for role, out := range map[models.Role]*Node{models.AttnQ: dq, models.AttnK: dk, models.AttnV: dv} {
		grads.Products[role] = Product{In: trace.input, Out: out}
	}
	if c.AttentionBias {
		grads.Vectors[models.AttnQBias] = ReduceSum(dq, 0)
		grads.Vectors[models.AttnKBias] = ReduceSum(dk, 0)
		grads.Vectors[models.AttnVBias] = ReduceSum(dv, 0)
	}
	dx = Einsum("tj,je->te", dq, b.Q)
	dx = Add(dx, Einsum("ti,ie->te", dk, b.K))
	return Add(dx, Einsum("ti,ie->te", dv, b.V))
}

func attentionScale(c models.Config) float64 { return 1 / math.Sqrt(float64(c.HeadDim)) }

// project is x W^T + bias as float32[t, n, d]; bias may be nil.
func project(x, weight, bias *Node, heads, headDim int) *Node {
	y := Einsum("te,je->tj", x, weight)
	if bias != nil {
		y = Add(y, ExpandLeftToRank(bias, 2))
	}
	return Reshape(y, x.Shape().Dim(0), heads, headDim)
}

// groupHeads puts query heads beside the key-value head they share: float32[t, n, d] to float32[k, q, d].
func groupHeads(c models.Config, x *Node) *Node {
	tokens := x.Shape().Dim(0)
	x.AssertDims(tokens, c.Heads, c.HeadDim)
	x = Reshape(x, tokens, c.KVHeads, c.Heads/c.KVHeads, c.HeadDim)
	return Reshape(TransposeAllAxes(x, 1, 2, 0, 3), c.KVHeads, -1, c.HeadDim)
}

// flattenHeads is the way back to rows: float32[k, q, d] to float32[t, j].
func flattenHeads(c models.Config, x *Node) *Node {
	groups := c.Heads / c.KVHeads
	tokens := x.Shape().Dim(1) / groups
	x = Reshape(x, c.KVHeads, groups, tokens, c.HeadDim)
	return Reshape(TransposeAllAxes(x, 2, 0, 1, 3), tokens, c.Heads*c.HeadDim)
}

// assertShape panics with an error when a node has another shape than its weights imply.
func assertShape(x *Node, dimensions ...int) {
	if !x.Shape().Equal(shapes.Make(x.DType(), dimensions...)) {
		panic(errShape(x.Shape().Dimensions, dimensions))
	}
}
