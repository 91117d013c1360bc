package infer

import "math"

// probBlock is the number of probabilities in one partial sum. A draw searches the sums first.
const probBlock = 256

// e^x = 2^n * e^r with r in [-ln2/2, ln2/2]. ln2 is subtracted in two parts to keep r exact; e^r is its Taylor series.
const (
	ln2High = 0.693359375
	ln2Low  = 0.693359375 - math.Ln2
	expZero = -87 // for smaller x, e to the x is below the normal float32 numbers
)

// exp32 returns e to the x for x of at most 0, with a relative error below 3e-7; 0 for x below expZero and for NaN.
func exp32(x float32) float32 {
	if !(x >= expZero) {
		return 0
	}
	n := int32(x*math.Log2E - 0.5)
	r := x - float32(n)*ln2High + float32(n)*ln2Low
	p := 1 + r*(1+r*(1.0/2+r*(1.0/6+r*(1.0/24+r*(1.0/120+r*(1.0/720))))))
	return p * math.Float32frombits(uint32(n+127)<<23)
}

// vectorMath is a Decoder with faster functions over all logits than Go's, such as infer/llamacpp's.
type vectorMath interface {
	// Largest returns the largest logit and its index, as argmax does.
	Largest(logits []float32) (int, float32)
	// Exponentials fills probs with exp((logit-largest)*inverse) and sums with their sums over blocks.
	Exponentials(probs, logits []float32, largest, inverse float32, block int, sums []float32)
}

// Softmax computes probabilities of logits, with the decoder's vector instructions if it has them. One goroutine owns
// it.
type Softmax struct{ sc *scratch }

// NewSoftmax returns a Softmax for a vocabulary of that size. It uses the decoder's own functions if that is a
// vectorMath.
func NewSoftmax(of interface{ VocabSize() int }) *Softmax { return &Softmax{scratchFor(of)} }

// Of returns the likeliest token (the lowest of equals), the logarithm of the sum of all exp(logit), and exp(logit-largest) of
// each token. exps is valid until the next call. Each value has a relative error below 3e-7. NaN counts as a logit of -Inf.
func (s *Softmax) Of(logits []float32) (top Token, logSum float64, exps []float32) {
	top, largest := s.sc.argmax(logits)
	sum := exponentials(logits, largest, 1, s.sc)
	return top, float64(largest) + math.Log(sum), s.sc.probs
}

// exponentials fills probs with exp((logit-largest)*inverse) and returns their sum.
func exponentials(logits []float32, largest, inverse float32, sc *scratch) float64 {
	total := 0.0
	if sc.math != nil {
		sc.math.Exponentials(sc.probs, logits, largest, inverse, probBlock, sc.sums)
		for b, sum := range sc.sums {
			sc.blocks[b] = float64(sum)
			total += float64(sum)
		}
		return total
	}
	for b := range sc.blocks {
		from := b * probBlock
		x := logits[from:min(from+probBlock, len(logits))]
		sum := float64(expBlock(sc.probs[from:][:len(x)], x, largest, inverse))
		sc.blocks[b] = sum
		total += sum
	}
	return total
}

// expBlock is exp32 in a loop. The compiler does not inline exp32, and one call for each logit of the vocabulary would
// double the time of sampling.
func expBlock(p, logits []float32, largest, inverse float32) (sum float32) {
	p = p[:len(logits)]
	for i, logit := range logits {
		x := (logit - largest) * inverse
		if !(x >= expZero) {
			p[i] = 0
			continue
		}
		n := int32(x*math.Log2E - 0.5)
		r := x - float32(n)*ln2High + float32(n)*ln2Low
		e := (1 + r*(1+r*(1.0/2+r*(1.0/6+r*(1.0/24+r*(1.0/120+r*(1.0/720))))))) * math.Float32frombits(uint32(n+127)<<23)
		p[i] = e
		sum += e
	}
	return sum
}

// pickAll returns the token at which the running sum of probs passes u.
func (sc *scratch) pickAll(u float64) (Token, bool) {
	last := -1
	for b, sum := range sc.blocks {
		if sum == 0 {
			continue
		}
		last = b
		if u < sum {
			break
		}
		u -= sum
	}
	if last < 0 {
		return 0, false
	}
	chosen := Token(-1)
	from := last * probBlock
	for i, p := range sc.probs[from:min(from+probBlock, len(sc.probs))] {
		if p == 0 {
			continue
		}
		chosen = Token(from + i) // if rounding leaves a remainder, it is the last one
		if u -= float64(p); u < 0 {
			break
		}
	}
	return chosen, chosen >= 0
}

// argmax calls the decoder's Largest if it has one, and Go's argmax otherwise.
func (sc *scratch) argmax(logits []float32) (Token, float32) {
	if sc.math != nil {
		t, x := sc.math.Largest(logits)
		return Token(t), x
	}
	return argmax(logits)
}

// argmax returns the largest logit and the lowest token that has it; -Inf when there is none.
func argmax(logits []float32) (Token, float32) {
	best, at := float32(math.Inf(-1)), 0
	for i, x := range logits {
		if x > best {
			best, at = x, i
		}
	}
	return Token(at), best
}
