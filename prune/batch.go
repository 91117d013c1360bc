package prune

import "prunellm/models/llama"

// batch is sequences, [from, to), that one run of a layer's program takes together: fewer programs are started, and each piece of the
// weights that is brought does more (BenchmarkSequencesTogether). Their states lie one after the other in one tensor.
type batch struct{ from, to int }

func (b batch) len() int { return b.to - b.from }

// batchSequences cuts the sequences, in order, into batches of equal padded length and at most rows tokens; longer sequences run alone. There
// are heldOutEvery batches at least, if there are so many sequences.
func batchSequences(sequences [][]int32, rows int) []batch {
	padded := 0
	for _, tokens := range sequences {
		padded += llama.PadLength(len(tokens))
	}
	rows = min(rows, padded/heldOutEvery)
	var batches []batch
	for i, tokens := range sequences {
		length := llama.PadLength(len(tokens))
		if len(batches) > 0 {
			last := &batches[len(batches)-1]
			if length == llama.PadLength(len(sequences[last.from])) && (last.len()+1)*length <= rows {
				last.to = i + 1
				continue
			}
		}
		batches = append(batches, batch{from: i, to: i + 1})
	}
	return batches
}

// tokensOf is how many tokens there are in sequences.
func tokensOf(sequences [][]int32) (sum int) {
	for _, tokens := range sequences {
		sum += len(tokens)
	}
	return sum
}
