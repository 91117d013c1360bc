package prune

import "prunellm/models/llama"

// batch is the sequences, [from, to), that one run of a layer's program takes together: fewer programs are started, and each piece of the
// weights that is brought does more (BenchmarkSequencesTogether).
type batch struct{ from, to int }

// tokens is how many there are in the batch.
func (b batch) tokens(sequences [][]int32) int {
	sum := 0
	for _, tokens := range sequences[b.from:b.to] {
		sum += len(tokens)
	}
	return sum
}

// batchSequences cuts the sequences, in order, into batches of equal padded length and at most rows tokens; longer sequences run alone.
func batchSequences(sequences [][]int32, rows int) []batch {
	var batches []batch
	for i, tokens := range sequences {
		length := llama.PadLength(len(tokens))
		if len(batches) > 0 {
			last := &batches[len(batches)-1]
			if length == llama.PadLength(len(sequences[last.from])) && (i+1-last.from)*length <= rows {
				last.to = i + 1
				continue
			}
		}
		batches = append(batches, batch{from: i, to: i + 1})
	}
	return batches
}
