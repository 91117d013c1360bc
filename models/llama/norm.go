package llama

import . "github.com/gomlx/gomlx/pkg/core/graph" //nolint:staticcheck // gomlx graph code reads as formulas

// normTrace holds the values that the adjoint of an RMSNorm needs.
type normTrace struct {
	unit    *Node // x / rms(x), in the shape of x
	inverse *Node // 1 / rms(x); the last axis has length 1
}

// rmsNorm returns x / sqrt(mean(x^2) + epsilon) * weight over the last axis (Zhang and Sennrich 2019). weight: float32[last].
func rmsNorm(x, weight *Node, epsilon float64) (y *Node, trace normTrace) {
	mean := ReduceAndKeep(Square(x), ReduceMean, -1)
	trace.inverse = Inverse(Sqrt(AddScalar(mean, epsilon)))
	trace.unit = Mul(x, trace.inverse)
	return Mul(trace.unit, ExpandLeftToRank(weight, x.Rank())), trace
}

// rmsNormAdjoint returns the gradient of x, given the gradient dy of rmsNorm's result: with u = x/rms and du =
// dy*weight, dx = (du - u * mean(du*u)) / rms.
func rmsNormAdjoint(trace normTrace, weight, dy *Node) (dx *Node) {
	du := Mul(dy, ExpandLeftToRank(weight, dy.Rank()))
	along := ReduceAndKeep(Mul(du, trace.unit), ReduceMean, -1)
	return Mul(Sub(du, Mul(trace.unit, along)), trace.inverse)
}

// normWeightGradient returns the gradient of the weight, float32[last], given the gradient dy of rmsNorm's result: the
// sum of dy*u over all axes but the last.
func normWeightGradient(trace normTrace, dy *Node) *Node {
	axes := make([]int, dy.Rank()-1)
	for i := range axes {
		axes[i] = i
	}
	return ReduceSum(Mul(dy, trace.unit), axes...)
}
