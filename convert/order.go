package convert

import "prunellm/models"

// order returns the index in the source of each row of a q or k matrix, or of each value of their biases and norms. It
// returns nil if the slim model has the source's RoPE layout, so that nothing moves. Attention scores sum over the
// elements of a head, so they do not change when q and k move alike.
func (s *slimmer) order(role models.Role) []int {
	heads, dim := s.dense.RotatedHeads(role), s.dense.HeadDim
	if heads == 0 || s.config.RoPELayout == s.dense.RoPELayout {
		return nil
	}
	places := s.dense.RoPELayout.Places(dim)
	order := make([]int, 0, heads*dim)
	for first := 0; first < heads*dim; first += dim {
		for _, place := range places {
			order = append(order, first+place)
		}
	}
	return order
}

// reorder sets row i of a matrix, or value i of a vector, to the source's row or value order[i].
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
