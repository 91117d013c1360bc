package recover

import (
	. "github.com/gomlx/gomlx/pkg/core/graph" //nolint:staticcheck // gomlx graph code reads as formulas

	"prunellm/models"
	"prunellm/models/llama"
)

// This file has the programs of one layer of the student: forward pass, merge of factors, and backward pass with update.

// compile compiles the programs.
func (s *student) compile() (err error) {
	c := s.model.Config()
	s.forward, err = s.model.LayerProgram("student", func(b *llama.Block, rope llama.RoPE, args []*Node) []*Node {
		s.apply(b, args[1:])
		trace := llama.Forward(c, b.In(s.precision), rope, args[0])
		return append([]*Node{trace.Out}, trace.Nodes()...)
	})
	if err != nil {
		return err
	}
	s.plain, err = s.model.LayerProgram("student", func(b *llama.Block, rope llama.RoPE, args []*Node) []*Node {
		return []*Node{llama.Forward(c, b.In(s.precision), rope, args[0]).Out}
	})
	if err != nil {
		return err
	}
	s.merge, err = s.model.LayerProgram("merge", func(b *llama.Block, _ llama.RoPE, args []*Node) []*Node {
		s.apply(b, args[1:])
		weights := make([]*Node, len(s.roles))
		for i, role := range s.roles {
			weights[i] = *b.Weight(role)
		}
		return weights
	})
	if err != nil {
		return err
	}
	s.backward, err = s.model.LayerProgram("train", s.step)
	return err
}

// apply replaces each weight W that has factors by W + alpha/rank B A.
func (s *student) apply(b *llama.Block, factors []*Node) {
	if !s.lora() {
		return
	}
	for i, role := range s.roles {
		weight := b.Weight(role)
		change := Einsum("or,ri->oi", factors[2*i+1], factors[2*i])
		*weight = Add(*weight, MulScalar(change, s.scale()))
	}
}

func (s *student) scale() float64 { return s.options.Alpha / float64(s.options.Rank) }

// step is the graph of one layer's backward pass and update.
func (s *student) step(b *llama.Block, rope llama.RoPE, args []*Node) []*Node {
	c := s.model.Config()
	x, dy, rates, norm, rest := args[0], args[1], args[2], args[3], args[4:]
	saved, rest := llama.SavedNodes(rest), rest[len(llama.Saved{}.Nodes()):]
	count := len(s.state[0])
	var values []*Node
	if s.lora() {
		values, rest = rest[:count], rest[count:]
		s.apply(b, values)
	} else {
		for _, role := range s.roles {
			values = append(values, *b.Weight(role))
		}
	}
	b = b.In(s.precision)
	trace := llama.Resume(c, b, rope, x, saved)
	grads := llama.Backward(c, b, rope, trace, dy)
	parameters := make([]parameter, 0, count)
	for _, role := range s.roles {
		for _, gradient := range s.gradients(grads, role, values, len(parameters)) {
			i := len(parameters)
			parameters = append(parameters, parameter{values[i], gradient, rest[2*i], rest[2*i+1]})
		}
	}
	moved, norm := update(parameters, rates, norm, s.options.Clip, s.options.WeightDecay)
	results := []*Node{grads.X, norm}
	for _, p := range moved {
		results = append(results, p.value, p.first, p.second)
	}
	return results
}

// gradients returns the gradients of a role's trained tensors: of the weight, or of its two factors, the first of which
// is values[i]. With W' = W + s B A and dW' = Out^T In they are dA = s (Out B)^T In and dB = s Out^T (In A^T), so dW'
// itself is never computed.
func (s *student) gradients(grads *llama.Gradients, role models.Role, values []*Node, i int) []*Node {
	factors, matrix := grads.Factors[role]
	switch {
	case !matrix:
		return []*Node{grads.Vectors[role]}
	case !s.lora():
		return []*Node{factors.Gradient()}
	}
	a, b := values[i], values[i+1]
	low := Einsum("to,or->tr", factors.Out, b)
	high := Einsum("ti,ri->tr", factors.In, a)
	return []*Node{
		MulScalar(Einsum("tr,ti->ri", low, factors.In), s.scale()),
		MulScalar(Einsum("to,tr->or", factors.Out, high), s.scale()),
	}
}
