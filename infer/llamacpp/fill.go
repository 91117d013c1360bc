package llamacpp

import "prunellm/infer"

// llama.cpp computes a batch in passes. A pass covers sequences with consecutive numbers, with the same number of tokens of
// each: as many as the shortest has left. A sequence without a token in the batch therefore splits it, and prompts of
// different lengths need a pass for each length. A pass of any size reads all weights, and on a GPU launches a thousand
// kernels. To save passes, this file adds filler tokens to the batch: one for a sequence in a gap, and on a GPU some at the
// end of shorter prompts. Fillers come after all tokens of their sequence, so no token attends to them. They are removed
// after the step.

const (
	tailStep  = 32 // a filled prompt has as many tokens as its longest neighbour, or a multiple of tailStep fewer
	tailShare = 8  // fillers may add 1/tailShare of a batch
	widestGap = 4  // longest run of sequences that get fillers on a CPU, where each costs at least a tenth of a pass
)

// fillers sets extra, which must be all zeros, to the number of fillers for each sequence. counts are the sequences' tokens in
// the batch, lengths their tokens in the cache after it. room bounds the fillers of the batch, cells the tokens of a sequence.
// gpu reports whether all layers are on GPUs.
func fillers(counts, lengths, extra []int, room, cells int, gpu bool) {
	widest := widestGap
	if gpu {
		widest = len(counts)
		room = fillTails(counts, lengths, extra, room, cells)
	}
	fillGaps(counts, lengths, extra, room, widest)
}

// fillGaps adds one token to each sequence in gaps of at most widest sequences, if that saves passes.
func fillGaps(counts, lengths, extra []int, room, widest int) {
	longest := 0
	for i, n := range counts {
		if n > 0 {
			longest = max(longest, lengths[i])
		}
	}
	put := func(gap []int, n int) {
		for i := range gap {
			gap[i] = n
		}
	}
	var gaps [][]int // slices of extra
	last := -1       // sequence of the previous tokens
	for i, n := range counts {
		if n == 0 {
			continue
		}
		if last >= 0 && i-last > 1 {
			// A pass reads as many cells of each of its sequences as the longest one has tokens.
			gap := extra[last+1 : i]
			fits := len(gap) <= min(room, widest)
			for _, length := range lengths[last+1 : i] {
				fits = fits && pad(length+1) <= pad(longest)
			}
			if fits {
				put(gap, 1)
				room -= len(gap)
				gaps = append(gaps, gap)
			}
		}
		last = i
	}
	if len(gaps) == 0 {
		return
	}
	// Next to prompts a filled gap may save nothing, because its token would need a pass of its own.
	least := passes(counts, extra)
	for _, gap := range gaps {
		put(gap, 0)
		if fewer := passes(counts, extra); fewer <= least {
			least = fewer
		} else {
			put(gap, 1)
		}
	}
}

// fillTails extends neighbouring prompts to the same number of tokens, or to one of a few numbers. It returns the remaining
// room.
func fillTails(counts, lengths, extra []int, room, cells int) int {
	for from := 0; from < len(counts); from++ {
		longest, to := 0, from
		for ; to < len(counts) && counts[to] > 1; to++ {
			longest = max(longest, counts[to])
		}
		for i := from; i < to; i++ {
			n := (longest - counts[i]) % tailStep
			if n <= room && lengths[i]+n <= cells {
				extra[i] = n
				room -= n
			}
		}
		from = max(from, to)
	}
	return room
}

// passes returns the number of passes that llama.cpp needs.
func passes(counts, extra []int) int {
	total := 0
	var count func(from, to, done int)
	count = func(from, to, done int) {
		for from < to {
			for from < to && counts[from]+extra[from] <= done {
				from++
			}
			end, least := from, 0
			for ; end < to && counts[end]+extra[end] > done; end++ {
				if n := counts[end] + extra[end]; least == 0 || n < least {
					least = n
				}
			}
			if end > from {
				total++
				count(from, end, least)
			}
			from = end
		}
	}
	count(0, len(counts), 0)
	return total
}

// addFilled fills the batch with the entries. It adds fillers if the entries are sorted by sequence, as the engine
// sends them.
func (m *Model) addFilled(entries []infer.Entry) {
	clear(m.counts)
	ordered := true
	for i, e := range entries {
		m.counts[e.Sequence]++
		ordered = ordered && (i == 0 || e.Sequence >= entries[i-1].Sequence)
	}
	clear(m.extra)
	if ordered {
		fillers(m.counts, m.lengths, m.extra, m.batchRoom-len(entries), sequenceContext(rawContext(m.context)), m.onDevice)
	}
	n, next := 0, 0 // rows of the batch; sequence
	fill := func(to int) {
		for ; next < to; next++ {
			for i := range m.extra[next] {
				m.batch.Add(0, nil, m.lengths[next]+i, false, next)
				n++
			}
		}
	}
	for _, e := range entries {
		if ordered {
			fill(e.Sequence)
		}
		m.batch.Add(int(e.Token), nil, e.Position, wanted(e), e.Sequence)
		m.rows = append(m.rows, row(n, wanted(e)))
		n++
	}
	fill(len(m.extra))
}

// dropFillers removes the tokens that addFilled added.
func (m *Model) dropFillers() {
	for sequence, n := range m.extra {
		if n > 0 {
			memoryRemove(rawContext(m.context), sequence, m.lengths[sequence], -1)
		}
	}
}
