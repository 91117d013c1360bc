package llama

import (
	"fmt"

	. "github.com/gomlx/gomlx/pkg/core/graph" //nolint:staticcheck // gomlx graph code reads as formulas

	"prunellm/models"
)

// Block holds the weights of one decoder layer as graph nodes. Norms and biases are float32, matrices float32 or
// bfloat16. A matmul with a bfloat16 matrix also rounds its other factor. Weights that the architecture does not have
// are nil.
type Block struct {
	AttnNorm            *Node // [e]
	Q                   *Node // [j, e]
	K, V                *Node // [i, e]
	QBias, KBias, VBias *Node // [j], [i], [i]
	QNorm, KNorm        *Node // [d]
	O                   *Node // [e, j]
	AttnPostNorm        *Node // [e]
	FFNNorm             *Node // [e]
	FFNPostNorm         *Node // [e]
	Gate, Up            *Node // [f, e]
	Down                *Node // [f, e]: transposed, so that a neuron is a row of all three matrices
}

// Saved holds the matmul results of a layer's forward pass, so that a later backward pass need not compute them again.
type Saved struct {
	Query      *Node // float32[s*t, n, d]: after projection, before norm and RoPE
	Key, Value *Node // float32[s*t, k, d]: after projection
	Context    *Node // float32[s*t, j]: results of the heads, before the output projection
	Mid        *Node // float32[s*t, e]: the residual stream between attention and MLP
	Gate, Up   *Node // float32[s*t, f]: before the activation
}

// Nodes lists the nodes in the order of SavedNodes.
func (s Saved) Nodes() []*Node {
	return []*Node{s.Query, s.Key, s.Value, s.Context, s.Mid, s.Gate, s.Up}
}

// SavedNodes is the inverse of Nodes.
func SavedNodes(nodes []*Node) Saved {
	return Saved{Query: nodes[0], Key: nodes[1], Value: nodes[2], Context: nodes[3], Mid: nodes[4], Gate: nodes[5], Up: nodes[6]}
}

// SavedValues returns how many values per token the Saved of a layer with the given number of neurons has.
func SavedValues(c models.Config, neurons int) int {
	return 2*c.Heads*c.HeadDim + 2*c.KVHeads*c.HeadDim + c.HiddenSize + 2*neurons
}

// Trace holds a layer's forward pass: its result and the values that the backward pass needs.
type Trace struct {
	Saved
	MLPInput   *Node // float32[s*t, e]: Mid after its RMSNorm
	Activation *Node // float32[s*t, f]: act(Gate) * Up, the input of the down projection
	Out        *Node // float32[s*t, e]

	attention         attentionTrace
	attnNorm, ffnNorm normTrace

	attnPostNorm, ffnPostNorm normTrace // with PostNorms
}

// Gradients holds the gradients of a loss with respect to parts of a layer.
type Gradients struct {
	X          *Node // float32[s*t, e]: the layer's input
	Gate, Up   *Node // float32[f, e]
	Down       *Node // float32[f, e]
	Activation *Node // float32[s*t, f]: the input of the down projection

	// Factors and Vectors hold the gradients of all weights by role; for a matrix, the two factors of its gradient.
	Factors map[models.Role]Factors
	Vectors map[models.Role]*Node // norms and biases
}

// Factors holds the two factors whose matmul is the gradient of a matrix W of a Block, float32[out, in].
type Factors struct {
	In     *Node // float32[s*t, in]
	Out    *Node // float32[s*t, out]
	narrow bool  // round to bfloat16, as W was
}

// Gradient returns the matrix's gradient, float32[out, in].
func (f Factors) Gradient() *Node {
	if f.narrow {
		return matmul("ot,ti->oi", narrowTranspose(f.Out), f.In)
	}
	return Einsum("to,ti->oi", f.Out, f.In)
}

// Forward computes one decoder layer. x is the residual stream of s sequences, float32[s*t, e], each as long as the
// RoPE table. mid = x + attention(rmsnorm(x)), out = mid + (act(n Gate^T) * (n Up^T)) Down with n = rmsnorm(mid). With
// PostNorms, what is added to x and to mid is normalized first.
func Forward(c models.Config, b *Block, rope RoPE, x *Node) *Trace {
	return Resume(c, b, rope, x, Saved{})
}

// Resume is Forward for a backward pass that comes later. It takes the same input x and reuses the values in saved.
// With a zero Saved it computes everything.
func Resume(c models.Config, b *Block, rope RoPE, x *Node, saved Saved) *Trace {
	assertShape(x, x.Shape().Dim(0), c.HiddenSize)
	trace := &Trace{Saved: saved}
	var normed, attended *Node
	normed, trace.attnNorm = rmsNorm(x, b.AttnNorm, c.RMSEpsilon)
	attended, trace.attention = attention(c, b, rope, normed, &trace.Saved)
	if c.PostNorms {
		attended, trace.attnPostNorm = rmsNorm(attended, b.AttnPostNorm, c.RMSEpsilon)
	}
	if trace.Mid == nil {
		trace.Mid = Add(x, attended)
	}
	trace.MLPInput, trace.ffnNorm = rmsNorm(trace.Mid, b.FFNNorm, c.RMSEpsilon)
	if trace.Gate == nil {
		trace.Gate = matmul("te,fe->tf", trace.MLPInput, b.Gate)
		trace.Up = matmul("te,fe->tf", trace.MLPInput, b.Up)
	}
	assertShape(trace.Gate, x.Shape().Dim(0), b.Gate.Shape().Dim(0))
	assertShape(trace.Up, trace.Gate.Shape().Dimensions...)
	trace.Activation = Mul(activate(c, trace.Gate), trace.Up)
	trace.Out, trace.ffnPostNorm = addMLP(c, b, trace.Mid, trace.Activation)
	return trace
}

// AddMLP returns a layer's result, float32[s*t, e], given its residual stream before the MLP and the input of its down
// projection. Of the block it reads Down and FFNPostNorm.
func AddMLP(c models.Config, b *Block, mid, activation *Node) *Node {
	out, _ := addMLP(c, b, mid, activation)
	return out
}

// addMLP is AddMLP with the values that the adjoint of the last norm needs.
func addMLP(c models.Config, b *Block, mid, activation *Node) (out *Node, post normTrace) {
	y := matmul("tf,fe->te", activation, b.Down)
	if c.PostNorms {
		y, post = rmsNorm(y, b.FFNPostNorm, c.RMSEpsilon)
	}
	return Add(mid, y), post
}

// Backward returns the gradients of the layer's parts, given the gradient dy of Forward's result, float32[s*t, e].
// Gradients that the caller does not use cost nothing, because XLA drops them.
func Backward(c models.Config, b *Block, rope RoPE, trace *Trace, dy *Node) *Gradients {
	assertShape(dy, trace.Out.Shape().Dimensions...)
	grads := &Gradients{Factors: map[models.Role]Factors{}, Vectors: map[models.Role]*Node{}}
	dMLP := dy
	if c.PostNorms {
		grads.Vectors[models.FFNPostNorm] = normWeightGradient(trace.ffnPostNorm, dy)
		dMLP = rmsNormAdjoint(trace.ffnPostNorm, b.FFNPostNorm, dy)
	}
	grads.Activation = matmul("te,fe->tf", dMLP, b.Down)
	activated, slope := activationAndSlope(c, trace.Gate)
	dGate := Mul(Mul(grads.Activation, trace.Up), slope)
	dUp := Mul(grads.Activation, activated)

	grads.Factors[models.FFNDown] = Factors{In: dMLP, Out: trace.Activation, narrow: isNarrow(b.Down)}
	grads.Factors[models.FFNGate] = Factors{In: trace.MLPInput, Out: dGate, narrow: isNarrow(b.Gate)}
	grads.Factors[models.FFNUp] = Factors{In: trace.MLPInput, Out: dUp, narrow: isNarrow(b.Up)}
	grads.Down = grads.Factors[models.FFNDown].Gradient()
	grads.Gate = grads.Factors[models.FFNGate].Gradient()
	grads.Up = grads.Factors[models.FFNUp].Gradient()

	dInput := Add(matmul("tf,fe->te", dGate, b.Gate), matmul("tf,fe->te", dUp, b.Up))
	grads.Vectors[models.FFNNorm] = normWeightGradient(trace.ffnNorm, dInput)
	dMid := Add(dy, rmsNormAdjoint(trace.ffnNorm, b.FFNNorm, dInput))
	dAttended := dMid
	if c.PostNorms {
		grads.Vectors[models.AttnPostNorm] = normWeightGradient(trace.attnPostNorm, dMid)
		dAttended = rmsNormAdjoint(trace.attnPostNorm, b.AttnPostNorm, dMid)
	}
	dNormed := attentionAdjoint(c, b, rope, trace.attention, dAttended, grads)
	grads.Vectors[models.AttnNorm] = normWeightGradient(trace.attnNorm, dNormed)
	grads.X = Add(dMid, rmsNormAdjoint(trace.attnNorm, b.AttnNorm, dNormed))
	return grads
}

// HeadBlock holds the weights of the head as graph nodes: the last RMSNorm, float32[e], and the output matrix, float32
// or bfloat16[v, e]. The output matrix is the token embedding if the two are tied.
type HeadBlock struct{ Norm, Output *Node }

// HeadTrace holds the head's forward pass.
type HeadTrace struct {
	Logits *Node // float32[t, v]
	Normed *Node // float32[t, e]: after the last RMSNorm
	norm   normTrace
}

// HeadForward returns the logits of hidden states x, float32[t, e].
func HeadForward(c models.Config, h *HeadBlock, x *Node) *HeadTrace {
	assertShape(x, x.Shape().Dim(0), c.HiddenSize)
	trace := &HeadTrace{}
	trace.Normed, trace.norm = rmsNorm(x, h.Norm, c.RMSEpsilon)
	trace.Logits = matmul("te,ve->tv", trace.Normed, h.Output)
	return trace
}

// HeadBackward returns the gradient of the hidden states, float32[t, e], given the gradient of the logits, float32[t,
// v]. Unless more is nil, it adds that further gradient of HeadTrace.Normed, float32[t, e] (see Target.Gradient).
func HeadBackward(h *HeadBlock, trace *HeadTrace, dLogits, more *Node) (dx *Node) {
	dNormed := matmul("tv,ve->te", dLogits, h.Output)
	if more != nil {
		dNormed = Add(dNormed, more)
	}
	return rmsNormAdjoint(trace.norm, h.Norm, dNormed)
}

// HeadWeightGradients returns the gradients of the head's weights, float32[e] and float32[v, e], given the gradient of
// the logits, float32[t, v].
func HeadWeightGradients(h *HeadBlock, trace *HeadTrace, dLogits *Node) (norm, output *Node) {
	dNormed := matmul("tv,ve->te", dLogits, h.Output)
	return normWeightGradient(trace.norm, dNormed), Factors{In: trace.Normed, Out: dLogits, narrow: isNarrow(h.Output)}.Gradient()
}

func errShape(got, want []int) error { return fmt.Errorf("shape is %v instead of %v", got, want) }
