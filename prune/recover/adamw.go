package recover

import (
	"math"

	. "github.com/gomlx/gomlx/pkg/core/graph" //nolint:staticcheck // gomlx graph code reads as formulas
)

// Constants of AdamW (arXiv 1711.05101). beta2 is smaller than the usual 0.999, because a training has only a few hundred
// steps.
const (
	beta1   = 0.9
	beta2   = 0.99
	epsilon = 1e-8
)

// normDecay is the weight of the past in the running mean of a layer's gradient norm.
const normDecay = 0.9

// rates returns the rates of one step of AdamW as a program's argument, float32[3].
func rates(learningRate float64, step int) []float32 {
	return []float32{
		float32(learningRate),
		float32(1 / (1 - math.Pow(beta1, float64(step)))),
		float32(1 / (1 - math.Pow(beta2, float64(step)))),
	}
}

// parameter is one trained tensor in the graph of a step; all four have its shape.
type parameter struct{ value, gradient, first, second *Node }

// update is one step of AdamW on a layer's parameters. rates is float32[3]. norm is the running mean of the norm of the layer's
// gradient, 0 before the first step. It returns the parameters with updated values and moments, and the new running mean.
func update(parameters []parameter, rates, norm *Node, clip, weightDecay float64) ([]parameter, *Node) {
	number := func(i int) *Node { return Squeeze(SliceAxis(rates, 0, AxisElem(i))) }
	rate, bias1, bias2 := number(0), number(1), number(2)

	var sum *Node
	for _, p := range parameters {
		square := ReduceAllSum(Square(p.gradient))
		if sum == nil {
			sum = square
		} else {
			sum = Add(sum, square)
		}
	}
	length := Sqrt(sum)
	limit := MulScalar(norm, clip)
	first := Equal(norm, ZerosLike(norm))
	scale := Where(first, OnesLike(norm), Min(Div(limit, AddScalar(length, 1e-30)), OnesLike(norm)))
	running := Where(first, length, Add(MulScalar(norm, normDecay), MulScalar(Mul(length, scale), 1-normDecay)))

	moved := make([]parameter, len(parameters))
	for i, p := range parameters {
		gradient := Mul(p.gradient, scale)
		m := Add(MulScalar(p.first, beta1), MulScalar(gradient, 1-beta1))
		v := Add(MulScalar(p.second, beta2), MulScalar(Square(gradient), 1-beta2))
		change := Div(Mul(m, bias1), AddScalar(Sqrt(Mul(v, bias2)), epsilon))
		if weightDecay > 0 && p.value.Rank() > 1 {
			change = Add(change, MulScalar(p.value, weightDecay))
		}
		moved[i] = parameter{value: Sub(p.value, Mul(change, rate)), first: m, second: v}
	}
	return moved, running
}
