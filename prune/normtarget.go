package prune

import (
	"github.com/gomlx/gomlx/pkg/core/dtypes"
	. "github.com/gomlx/gomlx/pkg/core/graph" //nolint:staticcheck // gomlx graph code reads as formulas

	"prunellm/models"
	"prunellm/models/llama"
)

// This file has the refit of a down projection whose result z = W h is normalized before it is added to the residual stream:
// out = mid + z/rms(z) * g.
//
// The least squares are in the units before the norm. rms(z) of a token is that of the old weights, so h becomes h/rms(z) and
// the target y becomes y/g. A division by the weights of the norm is not safe, because some are almost zero: such an output
// hardly changes the result, but its z counts in rms(z) like any other. The target of an output is therefore a mean of y/g
// and of what the old weights give, in the proportion g^2 : (dampedGain * mean|g|)^2.

// dampedGain is the weight of a norm, as a multiple of their mean, for which the old projection counts as much as the target.
const dampedGain = 0.25

// tinyGain keeps the division defined for a norm whose weights are all zero.
const tinyGain = 1e-30

// compilePostNorm compiles normalize, and apply for a layer with a post norm.
func (r *reconstructor) compilePostNorm() (err error) {
	c := r.pruned.Config()
	r.normalize, err = r.pruned.Compile("normalize", func(args []*Node) []*Node { return normalizeTarget(c, args) })
	if err != nil {
		return err
	}
	r.apply, err = r.pruned.Compile("apply", func(args []*Node) []*Node {
		return []*Node{llama.AddMLP(c, &llama.Block{Down: args[2], FFNPostNorm: args[3]}, args[0], args[1])}
	})
	return err
}

// postNorm returns the further argument of normalize and apply: the weight of the layer's post norm, if it has one.
func (r *reconstructor) postNorm(slim *llama.Layer) []any {
	if r.normalize == nil {
		return nil
	}
	return []any{r.pruned.Weight(slim, models.FFNPostNorm)}
}

// normalizeTarget is the graph of normalize: from h, mid, outs, W float32[f, e] and g float32[e] to h' = h/rms and mid' with
// outs - mid' the target of W h'.
func normalizeTarget(c models.Config, args []*Node) []*Node {
	h, mid, outs, down, gain := args[0], args[1], args[2:len(args)-2], args[len(args)-2], args[len(args)-1]
	out, wide := Concatenate(outs, 0), ConvertDType(h, dtypes.Float32)
	z := Einsum("tf,fe->te", wide, down)
	inverse := Inverse(Sqrt(AddScalar(ReduceAndKeep(Square(z), ReduceMean, -1), c.RMSEpsilon)))
	gain = ExpandLeftToRank(gain, 2)
	damping := Square(MulScalar(ReduceAllMean(Abs(gain)), dampedGain))
	scale := AddScalar(Add(Square(gain), damping), tinyGain)
	target := Add(Mul(Mul(z, inverse), Div(damping, scale)), Mul(Sub(out, mid), Div(gain, scale)))
	return []*Node{ConvertDType(Mul(wide, inverse), h.DType()), Sub(out, target)}
}
