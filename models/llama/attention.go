package llama

import (
	"github.com/gomlx/gomlx/pkg/core/dtypes"
	. "github.com/gomlx/gomlx/pkg/core/graph" //nolint:staticcheck // gomlx graph code reads as formulas
	"github.com/gomlx/gomlx/pkg/core/shapes"

	"prunellm/models"
)

// attentionTrace holds the values of the forward pass that the adjoint of attention needs.
type attentionTrace struct {
	input                 *Node   // float32[s*t, e]: after the RMSNorm
	queries, keys, values *Node   // float32[s*k, g, t, d], float32[s*k, t, d], float32[s*k, t, d]: after RoPE
	weights               []*Node // for each block of queries float32[s*k, g*block, u]: softmax over the u tokens up to the block's end
	context               *Node   // float32[s*k, g, t, d]
	queryNorm, keyNorm    normTrace
}

// queryBlock is the smallest number of positions in a block of queries. Attention is causal, so a block's matmuls can
// skip the keys after its end. All blocks together compute little more than half of the attention matrix. Tests set a
// smaller number.
var queryBlock = 128

// queryBlocks splits the positions [0, tokens) into at most eight blocks and returns the end of each.
func queryBlocks(tokens int) []int {
	size := max(queryBlock, (tokens+7)/8)
	var ends []int
	for end := size; end < tokens; end += size {
		ends = append(ends, end)
	}
	return append(ends, tokens)
}

// attention applies causal grouped-query attention to a normalized input x, float32[s*t, e]: softmax(q k^T scale)
// v, then the output projection to float32[s*t, e]. A token attends only to its own sequence. attention reuses the
// values in saved and adds the missing ones. If saved has Mid and nothing else needs y, it returns a nil y.
func attention(c models.Config, b *Block, rope RoPE, x *Node, saved *Saved) (y *Node, trace attentionTrace) {
	trace.input = x
	if saved.Query == nil {
		saved.Query = project(x, b.Q, b.QBias, c.Heads, c.HeadDim)
		saved.Key = project(x, b.K, b.KBias, c.KVHeads, c.HeadDim)
		saved.Value = project(x, b.V, b.VBias, c.KVHeads, c.HeadDim)
	}
	q, k := saved.Query, saved.Key
	if c.QKNorm {
		q, trace.queryNorm = rmsNorm(q, b.QNorm, c.RMSEpsilon)
		k, trace.keyNorm = rmsNorm(k, b.KNorm, c.RMSEpsilon)
	}
	tokens := rope.tokens()
	trace.queries = groupHeads(c, rotate(q, rope), tokens)
	trace.keys = headsFirst(rotate(k, rope), tokens)
	trace.values = headsFirst(saved.Value, tokens)

	var contexts []*Node
	begin := 0
	for _, end := range queryBlocks(tokens) {
		weights := attentionWeights(c, rope, &trace, begin, end)
		trace.weights = append(trace.weights, weights)
		if saved.Context == nil {
			context := Einsum("kqu,kud->kqd", weights, firstTokens(trace.values, end))
			contexts = append(contexts, splitQueries(context, end-begin))
		}
		begin = end
	}
	if saved.Context == nil {
		saved.Context = flattenHeads(c, Concatenate(contexts, 2))
	}
	trace.context = groupHeads(c, Reshape(saved.Context, -1, c.Heads, c.HeadDim), tokens)
	if saved.Mid != nil && !c.PostNorms {
		return nil, trace
	}
	return matmul("tj,ej->te", saved.Context, b.O), trace
}

// attentionWeights returns the attention weights of the queries at positions [begin, end), float32[s*k, g*(end-begin),
// end]. Each query has a softmax over the tokens up to its own position, or over the last ones of them if the layer has a
// window.
func attentionWeights(c models.Config, rope RoPE, trace *attentionTrace, begin, end int) *Node {
	queries := queriesOf(trace.queries, begin, end)
	scores := MulScalar(Einsum("kqd,kud->kqu", queries, firstTokens(trace.keys, end)), c.QueryScale())
	grouped := splitQueries(scores, end-begin)
	causal := SliceAxis(LowerTriangular(scores.Graph(), end), 0, AxisRange(begin, end))
	if c.Window > 0 && end > c.Window { // otherwise no key is outside the window
		causal = And(causal, inWindow(rope, begin, end))
	}
	causal = BroadcastToDims(ExpandLeftToRank(causal, 4), grouped.Shape().Dimensions...)
	grouped = Where(causal, grouped, Scalar(scores.Graph(), scores.DType(), -1e30))
	return Reshape(Softmax(grouped, -1), scores.Shape().Dimensions...)
}

// inWindow returns which keys at positions [0, end) are in the layer's window of the queries at [begin, end), bool[end-begin,
// end], apart from the causal mask.
func inWindow(rope RoPE, begin, end int) *Node {
	shape := shapes.Make(dtypes.Int32, end-begin, end)
	query := AddScalar(Iota(rope.Window.Graph(), shape, 0), float64(begin))
	return LessThan(Sub(query, Iota(rope.Window.Graph(), shape, 1)), BroadcastToShape(rope.Window, shape))
}

// queriesOf returns positions [begin, end) of all query heads: float32[s*k, g, t, d] to float32[s*k, g*(end-begin), d].
func queriesOf(x *Node, begin, end int) *Node {
	return Reshape(SliceAxis(x, 2, AxisRange(begin, end)), x.Shape().Dim(0), -1, x.Shape().Dim(-1))
}

// splitQueries splits the query heads of queriesOf again: float32[s*k, g*positions, d] to float32[s*k, g, positions,
// d].
func splitQueries(x *Node, positions int) *Node {
	return Reshape(x, x.Shape().Dim(0), -1, positions, x.Shape().Dim(-1))
}

// firstTokens returns the keys or values of the first count tokens, float32[s*k, count, d].
func firstTokens(x *Node, count int) *Node { return SliceAxis(x, 1, AxisRange(0, count)) }

// attentionAdjoint returns the gradient of attention's input, float32[s*t, e], given the gradient of its result,
// float32[s*t, e]. It stores the gradients of the weights in grads.
func attentionAdjoint(c models.Config, b *Block, rope RoPE, trace attentionTrace, dy *Node, grads *Gradients) (dx *Node) {
	rows, tokens := dy.Shape().Dim(0), rope.tokens()
	grads.Factors[models.AttnOutput] = Factors{In: flattenHeads(c, trace.context), Out: dy, narrow: isNarrow(b.O)}
	dContext := groupHeads(c, Reshape(matmul("te,ej->tj", dy, b.O), rows, c.Heads, c.HeadDim), tokens)
	// The adjoint of softmax is ds = p * (dp - sum_u(dp*p)). The sum equals the dot product of the context with its own
	// gradient.
	along := ReduceAndKeep(Mul(dContext, trace.context), ReduceSum, -1)
	var blocks []*Node
	var dKeys, dValues *Node
	begin := 0
	for i, end := range queryBlocks(tokens) {
		weights, gradient := trace.weights[i], queriesOf(dContext, begin, end)
		dWeights := Einsum("kqd,kud->kqu", gradient, firstTokens(trace.values, end))
		dScores := MulScalar(Mul(weights, Sub(dWeights, queriesOf(along, begin, end))), c.QueryScale())
		dQueries := Einsum("kqu,kud->kqd", dScores, firstTokens(trace.keys, end))
		blocks = append(blocks, splitQueries(dQueries, end-begin))
		// The narrow factor comes first, because XLA's CPU backend then runs twice as fast as with the factors swapped.
		dKeys = addFirst(dKeys, Einsum("kqd,kqu->kdu", queriesOf(trace.queries, begin, end), dScores), tokens)
		dValues = addFirst(dValues, Einsum("kqd,kqu->kdu", gradient, weights), tokens)
		begin = end
	}

	dq := rotateAdjoint(Reshape(flattenHeads(c, Concatenate(blocks, 2)), rows, c.Heads, c.HeadDim), rope)
	dk := rotateAdjoint(tokensFirst(c, dKeys), rope)
	dv := tokensFirst(c, dValues)
	if c.QKNorm {
		grads.Vectors[models.AttnQNorm] = normWeightGradient(trace.queryNorm, dq)
		grads.Vectors[models.AttnKNorm] = normWeightGradient(trace.keyNorm, dk)
		dq = rmsNormAdjoint(trace.queryNorm, b.QNorm, dq)
		dk = rmsNormAdjoint(trace.keyNorm, b.KNorm, dk)
	}
	dq, dk, dv = Reshape(dq, rows, -1), Reshape(dk, rows, -1), Reshape(dv, rows, -1)
	for role, out := range map[models.Role]*Node{models.AttnQ: dq, models.AttnK: dk, models.AttnV: dv} {
		grads.Factors[role] = Factors{In: trace.input, Out: out, narrow: isNarrow(*b.Weight(role))}
	}
	if c.AttentionBias {
		grads.Vectors[models.AttnQBias] = ReduceSum(dq, 0)
		grads.Vectors[models.AttnKBias] = ReduceSum(dk, 0)
		grads.Vectors[models.AttnVBias] = ReduceSum(dv, 0)
	}
	dx = matmul("tj,je->te", dq, b.Q)
	dx = Add(dx, matmul("ti,ie->te", dk, b.K))
	return Add(dx, matmul("ti,ie->te", dv, b.V))
}

// addFirst adds part, which covers only the first tokens, to a sum over all tokens, float32[s*k, d, tokens]. A nil sum
// is zero.
func addFirst(sum, part *Node, tokens int) *Node {
	if missing := tokens - part.Shape().Dim(2); missing > 0 {
		rest := shapes.Make(part.DType(), part.Shape().Dim(0), part.Shape().Dim(1), missing)
		part = Concatenate([]*Node{part, Zeros(part.Graph(), rest)}, 2) // instead of Pad, which gomlx's pure-Go backend lacks
	}
	if sum == nil {
		return part
	}
	return Add(sum, part)
}

// project returns x W^T + bias as float32[s*t, n, d]; bias may be nil.
func project(x, weight, bias *Node, heads, headDim int) *Node {
	y := matmul("te,je->tj", x, weight)
	if bias != nil {
		y = Add(y, ExpandLeftToRank(bias, 2))
	}
	return Reshape(y, x.Shape().Dim(0), heads, headDim)
}

// groupHeads transposes queries of sequences of t tokens so that the g query heads of each key-value head are together:
// float32[s*t, n, d] to float32[s*k, g, t, d].
func groupHeads(c models.Config, x *Node, tokens int) *Node {
	x.AssertDims(x.Shape().Dim(0), c.Heads, c.HeadDim)
	apart := Reshape(x, -1, tokens, c.KVHeads, c.Heads/c.KVHeads, c.HeadDim)
	return Reshape(TransposeAllAxes(apart, 0, 2, 3, 1, 4), -1, c.Heads/c.KVHeads, tokens, c.HeadDim)
}

// flattenHeads is the inverse of groupHeads, but also flattens the heads: float32[s*k, g, t, d] to float32[s*t, j].
func flattenHeads(c models.Config, x *Node) *Node {
	apart := Reshape(x, -1, c.KVHeads, x.Shape().Dim(1), x.Shape().Dim(2), c.HeadDim)
	return Reshape(TransposeAllAxes(apart, 0, 3, 1, 2, 4), -1, c.Heads*c.HeadDim)
}

// headsFirst transposes keys or values of sequences of t tokens: float32[s*t, k, d] to float32[s*k, t, d].
func headsFirst(x *Node, tokens int) *Node {
	heads, dim := x.Shape().Dim(1), x.Shape().Dim(2)
	return Reshape(TransposeAllAxes(Reshape(x, -1, tokens, heads, dim), 0, 2, 1, 3), -1, tokens, dim)
}

// tokensFirst transposes gradients of keys or values: float32[s*k, d, t] to float32[s*t, k, d].
func tokensFirst(c models.Config, x *Node) *Node {
	apart := Reshape(x, -1, c.KVHeads, c.HeadDim, x.Shape().Dim(2))
	return Reshape(TransposeAllAxes(apart, 0, 3, 1, 2), -1, c.KVHeads, c.HeadDim)
}

// assertShape panics with an error if a node does not have the given shape.
func assertShape(x *Node, dimensions ...int) {
	if !x.Shape().Equal(shapes.Make(x.DType(), dimensions...)) {
		panic(errShape(x.Shape().Dimensions, dimensions))
	}
}
