package convert

import (
	"prunellm/models"
	"prunellm/models/arch"
)

// order returns the source's place of each element of q or k when the slim model's RoPE layout differs from the source's:
// of each row of a matrix, of each value of a bias. It returns nil where nothing moves.
func (s *slimmer) order(role models.Role) []int {
	if s.config.RoPELayout == s.dense.RoPELayout {
		return nil
	}
	c := s.dense
	switch role {
	case models.AttnQ, models.AttnQBias:
		return headOrder(s.dense.RoPELayout, c.Heads, c.HeadDim)
	case models.AttnK, models.AttnKBias:
		return headOrder(s.dense.RoPELayout, c.KVHeads, c.HeadDim)
	case models.AttnQNorm, models.AttnKNorm:
		return headOrder(s.dense.RoPELayout, 1, c.HeadDim)
	}
	return nil
}

// headOrder returns the place in layout from of each element in the other layout. Scores are sums over a head's elements,
// so they do not depend on the order as long as q and k share it.
func headOrder(from arch.RoPELayout, heads, headDim int) []int {
	order := make([]int, heads*headDim)
	for head := range heads {
		for i := range headDim / 2 {
			first := head * headDim
			a, b := first+2*i, first+2*i+1     // as pairs
			x, y := first+i, first+i+headDim/2 // as halves
			if from == arch.RoPEHalves {
				order[a], order[b] = x, y
			} else {
				order[x], order[y] = a, b
			}
		}
	}
	return order
}

// reorder makes row i of a matrix, or value i of a vector, the source's order[i].
func (p *rowPlan) reorder(order []int) {
	if len(p.shape) == 1 {
		p.cols = order
		if p.values != nil {
			p.values = gatherColumns(p.values, len(order), order)
		}
		return
	}
	p.rows = order
	if p.values == nil {
		return
	}
	rowLen := p.rowLen()
	values := make([]float32, 0, len(p.values))
	for _, row := range order {
		values = append(values, p.values[row*rowLen:(row+1)*rowLen]...)
	}
	p.values = values
}
