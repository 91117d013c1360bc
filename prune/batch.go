package prune

import "prunellm/models/llama"

// batch lists sequences, by index, that run through a layer's program together. Fewer programs then start, and each load of
// a weight serves more tokens (BenchmarkSequencesTogether). One tensor holds the sequences' states one after another.
type batch []int

// batchSequences distributes sequences of equal padded length over batches of at most rows tokens, so that each batch
// samples the whole text. Longer sequences run alone. It makes at least heldOutEvery batches if there are that many
// sequences.
func batchSequences(sequences [][]int32, rows int) (batches []batch) {
	var lengths []int // in order of first appearance
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

// pick returns the batch's sequences.
func (b batch) pick(sequences [][]int32) [][]int32 {
	picked := make([][]int32, len(b))
	for k, i := range b {
		picked[k] = sequences[i]
	}
	return picked
}

// tokensOf returns the number of tokens in all sequences.
func tokensOf(sequences [][]int32) (sum int) {
	for _, tokens := range sequences {
		sum += len(tokens)
	}
	return sum
}
