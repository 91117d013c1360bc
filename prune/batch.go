package prune

import "prunellm/models/llama"

// batch is the sequences, [from, to), that one run of a layer's program takes together. Narrow layers have little work for each piece of their
// weights that is brought and for each program that is started: two sequences at once take a seventh less time at width 512, and none less at 1536.
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
