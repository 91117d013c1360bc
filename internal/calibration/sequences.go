package calibration

import "prunellm/infer"

// Cut cuts tokens into sequences of one length, at most budget tokens in total. If there are more tokens, the sequences
// are spread evenly over the text. A remainder that fills no sequence is dropped, unless there is nothing else. length
// is at least 2.
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

// largestHeldOut bounds the share of a short text that HoldOut takes: one sequence in largestHeldOut.
const largestHeldOut = 4

// HoldOut splits sequences of length tokens into those to compute on and about tokens of held-out text, spread evenly.
// At most a quarter is held out; a text of one sequence stays whole.
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
