package infer

import (
	"cmp"
	"math"
	"slices"
)

// candidate is a token that may be drawn.
type candidate struct {
	token Token
	prob  float32 // unnormalised
	key   float32 // for the order in keepMass, largest first
}

// largestK appends the k largest logits that are at least least, largest first, ties to the lower token. It keeps a
// heap with the smallest on top: one comparison excludes nearly every logit.
func largestK(logits []float32, least float32, k int, heap []weighted) []weighted {
	if k <= 0 {
		return heap
	}
	for t, x := range logits {
		if len(heap) < k {
			if x >= least {
				heap = append(heap, weighted{Token(t), x})
				siftUp(heap)
			}
			continue
		}
		if x > heap[0].value { // an equal one has a higher token than those in the heap
			heap[0] = weighted{Token(t), x}
			siftDown(heap)
		}
	}
	slices.SortFunc(heap, func(a, b weighted) int {
		return cmp.Or(cmp.Compare(b.value, a.value), cmp.Compare(a.token, b.token))
	})
	return heap
}

// worse orders the heap: lower values first, among equals the higher token.
func worse(a, b weighted) bool {
	return a.value < b.value || (a.value == b.value && a.token > b.token)
}

func siftUp(heap []weighted) {
	for i := len(heap) - 1; i > 0; {
		parent := (i - 1) / 2
		if !worse(heap[i], heap[parent]) {
			return
		}
		heap[i], heap[parent] = heap[parent], heap[i]
		i = parent
	}
}

func siftDown(heap []weighted) {
	for i := 0; ; {
		child := 2*i + 1
		if child >= len(heap) {
			return
		}
		if child+1 < len(heap) && worse(heap[child+1], heap[child]) {
			child++
		}
		if !worse(heap[child], heap[i]) {
			return
		}
		heap[i], heap[child] = heap[child], heap[i]
		i = child
	}
}

// mass returns the sum of unnormalised probabilities.
func mass(candidates []candidate) float64 {
	sum := 0.0
	for _, c := range candidates {
		sum += float64(c.prob)
	}
	return sum
}

// keepTypical keeps the tokens whose information is closest to the entropy of the distribution, until they have p of the
// mass (Meister et al., "Locally typical sampling", 2022). Before the call, keys are logarithms of the probabilities; after
// it they are undefined.
func keepTypical(candidates []candidate, total, p float64) []candidate {
	logTotal := math.Log(total)
	entropy := 0.0
	for i, c := range candidates {
		information := logTotal - float64(c.key)
		if c.prob > 0 {
			entropy += float64(c.prob) / total * information
		}
		candidates[i].key = float32(information)
	}
	for i, c := range candidates {
		candidates[i].key = -float32(math.Abs(float64(c.key) - entropy))
	}
	return keepMass(candidates, total*p)
}

// typicalOfAll sets candidates to the tokens that keepTypical would keep of all tokens, and returns their mass. It usually
// examines only the likely tokens, because enough of them are closer to the entropy than all others.
func typicalOfAll(logits []float32, largest, inverse float32, p float64, sc *scratch) float64 {
	sum := exponentials(logits, largest, inverse, sc)
	logSum, weighed := math.Log(sum), 0.0
	for t, prob := range sc.probs {
		if prob > 0 {
			weighed += float64(prob) * float64((logits[t]-largest)*inverse)
		}
	}
	entropy := logSum - weighed/sum
	collect := func(floor float32) {
		sc.candidates = sc.candidates[:0]
		for t, prob := range sc.probs {
			if prob > floor {
				information := float32(logSum - float64((logits[t]-largest)*inverse))
				key := -float32(math.Abs(float64(information) - entropy))
				sc.candidates = append(sc.candidates, candidate{token: Token(t), prob: prob, key: key})
			}
		}
	}
	// Tokens below the floor have less than 1-p together, and none of them is closer to the entropy than nearest. The margin
	// of 1e-3 allows for rounding.
	floor := (1 - p) * sum / float64(len(logits)) / 2
	nearest := float32(logSum - math.Log(floor) - entropy - 1e-3)
	collect(float32(floor))
	near := 0.0
	for _, c := range sc.candidates {
		if -c.key < nearest {
			near += float64(c.prob)
		}
	}
	if near < sum*p {
		collect(0)
	}
	sc.candidates = keepMass(sc.candidates, sum*p)
	return mass(sc.candidates)
}

// keepMass keeps the candidates with the largest keys, ties to the lower token, until their mass reaches target. It keeps at
// least one. It is quickselect by mass: linear on average, because it sorts no candidates that are certainly in or out.
func keepMass(candidates []candidate, target float64) []candidate {
	low, high := 0, len(candidates) // candidates[:low] are in, candidates[high:] are out
	held := 0.0
	for high-low > 24 {
		pivot := medianOf3(candidates[low], candidates[low+(high-low)/2], candidates[high-1])
		split := partition(candidates[low:high], pivot) + low
		part := mass(candidates[low:split])
		if held+part >= target {
			high = split
			continue
		}
		held += part
		low = split
	}
	slices.SortFunc(candidates[low:high], func(a, b candidate) int {
		return cmp.Or(cmp.Compare(b.key, a.key), cmp.Compare(a.token, b.token))
	})
	for low < high && (held < target || low == 0) {
		held += float64(candidates[low].prob)
		low++
	}
	return candidates[:low]
}

func before(a, b candidate) bool { return a.key > b.key || (a.key == b.key && a.token < b.token) }

func medianOf3(a, b, c candidate) candidate {
	if before(b, a) {
		a, b = b, a
	}
	if before(c, b) {
		b = c
		if before(b, a) {
			b = a
		}
	}
	return b
}

// partition moves the candidates before the pivot, which is one of them, to the front and returns their number. It leaves at
// least one behind if the pivot is the median of three candidates.
func partition(candidates []candidate, pivot candidate) int {
	n := 0
	for i, c := range candidates {
		if before(c, pivot) || c.token == pivot.token {
			candidates[i], candidates[n] = candidates[n], c
			n++
		}
	}
	return n
}

// pick draws a candidate; u is uniform in [0,1).
func pick(candidates []candidate, u float64) (Token, bool) {
	rest := u * mass(candidates)
	chosen := Token(-1)
	for _, c := range candidates {
		if c.prob == 0 {
			continue
		}
		chosen = c.token
		if rest -= float64(c.prob); rest < 0 {
			break
		}
	}
	return chosen, chosen >= 0
}
