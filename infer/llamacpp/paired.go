package llamacpp

import "prunellm/infer"

// The results of a sequence must not depend on the others in the batch. With block-quantized weights on the CPU they do not:
// llama.cpp's kernels for one token and for many sum in the same order. With plain floats (F32, F16, BF16) they would: a
// matmul with one column uses another kernel than one with two or more. This includes the last layer, which computes only
// the tokens that need logits. With such weights no token is therefore computed alone. This file adds a copy of the last
// token of each sequence at the next position. No earlier token attends to the copy, and it is removed after the step. For
// each token that needs logits, the last layer also computes its neighbours.

// addPaired fills the batch with the entries and their copies.
func (m *Model) addPaired(entries []infer.Entry) {
	for i, e := range entries {
		m.last[e.Sequence] = i
	}
	n := 0
	for i, e := range entries {
		m.batch.Add(int(e.Token), nil, e.Position, wanted(e) || m.neighbourWanted(entries, i), e.Sequence)
		m.rows = append(m.rows, row(n, wanted(e)))
		n++
		if m.last[e.Sequence] == i {
			m.batch.Add(int(e.Token), nil, e.Position+1, wanted(e), e.Sequence)
			n++
		}
	}
}

// wanted reports whether an entry has an output.
func wanted(e infer.Entry) bool { return e.Logits || e.Hidden }

// neighbourWanted reports whether the previous or next entry of the same sequence needs logits. It expects a sequence's
// entries to be adjacent, as the engine sends them. In another order an entry still gets its logits, but not its neighbour.
func (m *Model) neighbourWanted(entries []infer.Entry, i int) bool {
	for _, j := range [2]int{i - 1, i + 1} {
		if j >= 0 && j < len(entries) && entries[j].Sequence == entries[i].Sequence && wanted(entries[j]) {
			return true
		}
	}
	return false
}

// dropPairs removes the copies.
func (m *Model) dropPairs(entries []infer.Entry) {
	c := rawContext(m.context)
	for i, e := range entries {
		if m.last[e.Sequence] == i {
			memoryRemove(c, e.Sequence, m.lengths[e.Sequence], -1)
		}
	}
}
