package calibration

import "prunellm/infer"

// Cut cuts tokens into sequences of the given length, with at most budget tokens in total. If there are more tokens,
// the sequences are spread evenly over the text. Cut drops a remainder that does not fill a sequence, unless there is
// nothing else. length must be at least 2.
func Cut(tokens []int32, length, budget int) [][]int32 {
	length = max(length, 2)
	count := min(len(tokens), budget) / length
	if count == 0 {
		if rest := min(len(tokens), budget, length); rest >= 2 {
			return [][]int32{tokens[:rest]}
		}
		return nil
	}
	sequences := make([][]int32, count)
	for i := range sequences {
		start := i * length
		if count > 1 && len(tokens) > budget {
			start = i * (len(tokens) - length) / (count - 1)
		}
		sequences[i] = tokens[start : start+length]
	}
	return sequences
}

// largestHeldOut bounds the held-out share of a short text to one sequence in largestHeldOut.
const largestHeldOut = 4

// HoldOut splits sequences of the given length into held-out ones, which are spread evenly and have about the given
// number of tokens, and the rest. It holds out at most a quarter, and nothing of a single sequence.
func HoldOut(sequences [][]int32, tokens, length int) (rest, heldOut [][]int32) {
	n := min((tokens+length-1)/length, len(sequences)/largestHeldOut)
	for i, sequence := range sequences {
		if (i+1)*n/len(sequences) > i*n/len(sequences) {
			heldOut = append(heldOut, sequence)
		} else {
			rest = append(rest, sequence)
		}
	}
	return rest, heldOut
}

func toInt32(tokens []infer.Token) []int32 {
	out := make([]int32, len(tokens))
	for i, t := range tokens {
		out[i] = int32(t)
	}
	return out
}
