package prune

import (
	. "github.com/gomlx/gomlx/pkg/core/graph" //nolint:staticcheck // gomlx graph code reads as formulas

	"prunellm/models/llama"
)

// The criteria. Each is a float32 per neuron, larger meaning more important.
const (
	SDM       Criterion = "sdm"
	SDM2      Criterion = "sdm2"
	Fisher    Criterion = "fisher"
	Taylor    Criterion = "taylor"
	FisherSDM Criterion = "fisher-sdm"
	Magnitude Criterion = "magnitude"
)

// criteria is the table of all criteria, in the order in which help and pages list them. A criterion's row is the only place
// that describes it.
var criteria = []criterion{
	{
		name: SDM, stages: 2,
		help:      "the published score: first-order change of the self-distillation loss",
		gradients: weightChange,
	},
	{
		name: SDM2, stages: 1, drawn: true, mixed: true, lengthPower: 2,
		help:      "second-order self-distillation: fisher with labels drawn from the dense model's predictions",
		gradients: squaredChange,
	},
	{
		name: Fisher, stages: 1, mixed: true, lengthPower: 2,
		help:      "squared change of the cross entropy without the neuron; better and faster than sdm",
		gradients: squaredChange,
	},
	{
		name: Taylor, stages: 1, mixed: true, lengthPower: 1,
		help:      "absolute change of the cross entropy without the neuron",
		gradients: absoluteChange,
	},
	{
		name: FisherSDM, stages: 2, lengthPower: 2,
		help:      "fisher on the self-distillation loss; twice the work",
		gradients: squaredChange,
	},
	{
		name: Magnitude, mixed: true,
		help:    "mean absolute weight; needs no text",
		weights: magnitude,
	},
}

// weightChange is the published score: the mean over the hidden size of |down*d_down + up*d_up + gate*d_gate|. It needs the
// gradients of all weights.
func weightChange(b *llama.Block, _ *llama.Trace, grads *llama.Gradients) *Node {
	b = b.In(llama.Float32)
	change := Add(Mul(b.Down, grads.Down), Add(Mul(b.Up, grads.Up), Mul(b.Gate, grads.Gate)))
	return ReduceMean(Abs(change), -1)
}

// squaredChange is a diagonal Fisher score: the sum over tokens of (activation * d_activation)^2.
func squaredChange(_ *llama.Block, trace *llama.Trace, grads *llama.Gradients) *Node {
	return ReduceSum(Square(Mul(trace.Activation, grads.Activation)), 0)
}

// absoluteChange is the sum over tokens of |activation * d_activation|. Without the square, a few surprising tokens do not
// dominate all others.
func absoluteChange(_ *llama.Block, trace *llama.Trace, grads *llama.Gradients) *Node {
	return ReduceSum(Abs(Mul(trace.Activation, grads.Activation)), 0)
}
