package llamacpp

import "prunellm/infer"

// What a sequence computes must not depend on who else is in the batch. On the CPU it does not for block-quantized
// weights: llama.cpp's kernels for one token and for many add up in the same order. For plain floats (F32, F16, BF16) they
// do not: a product with one column takes another kernel than one with two or more, also in the last layer, which is
// computed for the tokens alone whose logits are wanted. So with such weights no token is ever computed alone. After
// the last token of each sequence goes a copy of it at the next position, which nothing before it can see, and which is
// forgotten after the step; beside each token whose logits are wanted, those of its neighbours are computed too.

// addPaired fills the batch with the entries and their companions.
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

// wanted tells whether an entry has an output.
func wanted(e infer.Entry) bool { return e.Logits || e.Hidden }

// neighbourWanted tells whether the entry before or after this one of its sequence wants logits. A sequence's entries lie
// side by side in what the engine sends; others miss a companion only, not their logits.
func (m *Model) neighbourWanted(entries []infer.Entry, i int) bool {
	for _, j := range [2]int{i - 1, i + 1} {
		if j >= 0 && j < len(entries) && entries[j].Sequence == entries[i].Sequence && wanted(entries[j]) {
			return true
		}
	}
	return false
}

// dropPairs forgets the companions.
func (m *Model) dropPairs(entries []infer.Entry) {
	c := rawContext(m.context)
	for i, e := range entries {
		if m.last[e.Sequence] == i {
			memoryRemove(c, e.Sequence, m.lengths[e.Sequence], -1)
		}
	}
}
