package prune

import "prunellm/models/llama"

// batch is sequences, by index, that one run of a layer's program takes together: fewer programs are started, and each piece of the
// weights that is brought does more (BenchmarkSequencesTogether). Their states lie one after the other in one tensor.
type batch []int

// batchSequences deals sequences of equal padded length out to batches of at most rows tokens, so that each has some of the whole text; longer
// sequences run alone. There are heldOutEvery batches at least, if there are so many sequences.
func batchSequences(sequences [][]int32, rows int) (batches []batch) {
	var lengths []int // in order of appearance
	ofLength, padded := map[int][]int{}, 0
	for i, tokens := range sequences {
		length := llama.PadLength(len(tokens))
		if ofLength[length] == nil {
			lengths = append(lengths, length)
		}
		ofLength[length] = append(ofLength[length], i)
		padded += length
	}
	rows = min(rows, padded/heldOutEvery)
	for _, length := range lengths {
		equal, together := ofLength[length], max(rows/length, 1)
		dealt := make([]batch, (len(equal)+together-1)/together)
		for k, i := range equal {
			dealt[k%len(dealt)] = append(dealt[k%len(dealt)], i)
		}
		batches = append(batches, dealt...)
	}
	return batches
}

// pick is the batch's sequences of all.
func (b batch) pick(sequences [][]int32) [][]int32 {
	picked := make([][]int32, len(b))
	for k, i := range b {
		picked[k] = sequences[i]
	}
	return picked
}

// tokensOf is how many tokens there are in sequences.
func tokensOf(sequences [][]int32) (sum int) {
	for _, tokens := range sequences {
		sum += len(tokens)
	}
	return sum
}
