package infer

import (
	"bytes"
	"cmp"
	"slices"
)

// MaxInfillTopK bounds top_k with Infill, which compares the candidates pair by pair.
const MaxInfillTopK = 256

// Thresholds of infill.
const (
	infillEnd   = 3   // times the probability of an end, times the candidates: if it exceeds that of text, the answer ends
	infillLeast = 0.2 // probability that a text must have
)

// infill keeps the candidates that llama.cpp's sampler of that name keeps. An answer between two texts ends as soon as an end is
// likely, tokens that begin alike count together, and unlikely ones are left out.
type infill struct {
	dec Decoder
	end Token // ends an answer
}

// newInfill returns the infill sampler of a request that wants it; nil for another.
func (e *Engine) newInfill(s Sampling) (*infill, error) {
	if !s.Infill {
		return nil, nil
	}
	end := e.endToken()
	if end < 0 {
		return nil, &ParameterError{Field: "samplers", Reason: "infill needs a model with a token that ends answers"}
	}
	return &infill{dec: e.dec, end: end}, nil
}

// firstEnd returns the lowest token that ends an answer; -1 for none.
func firstEnd(dec Decoder) Token {
	for t := range Token(dec.VocabSize()) {
		if dec.EndOfGeneration(t) {
			return t
		}
	}
	return -1
}

// keep returns the candidates that stay, at least one. It changes the slice.
func (f *infill) keep(candidates []candidate) []candidate {
	slices.SortFunc(candidates, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(b.prob, a.prob), cmp.Compare(a.token, b.token))
	})
	total, ends := mass(candidates), 0.0
	for _, c := range candidates {
		if f.dec.EndOfGeneration(c.token) {
			ends += float64(c.prob)
		}
	}
	if infillEnd*ends*float64(len(candidates)) > total-ends {
		return slices.DeleteFunc(candidates, func(c candidate) bool { return !f.dec.EndOfGeneration(c.token) })
	}
	f.merge(candidates)
	candidates, texts := f.atLeast(candidates, infillLeast*total)
	if texts == 0 {
		return append(candidates[:0], candidate{token: f.end, prob: 1})
	}
	candidates, _ = f.atLeast(candidates, mass(candidates)/float64(texts+1))
	return candidates
}

// merge adds the probability of a token to that of the likelier one, where one of them begins the other.
func (f *infill) merge(candidates []candidate) {
	pieces := make([][]byte, len(candidates))
	for i, c := range candidates {
		pieces[i] = f.dec.Piece(c.token, false)
	}
	for i := range candidates {
		for j := range candidates {
			if candidates[i].prob == 0 {
				break
			}
			if i == j || candidates[j].prob == 0 || len(pieces[i]) == 0 || !bytes.HasPrefix(pieces[j], pieces[i]) {
				continue
			}
			into, from := i, j
			if candidates[j].prob > candidates[i].prob {
				into, from = j, i
			}
			candidates[into].prob += candidates[from].prob
			candidates[from].prob = 0
		}
	}
}

// atLeast keeps the tokens that end an answer, and those of at least a probability. It also returns how many of the latter
// there are.
func (f *infill) atLeast(candidates []candidate, least float64) (kept []candidate, texts int) {
	kept = slices.DeleteFunc(candidates, func(c candidate) bool {
		if f.dec.EndOfGeneration(c.token) {
			return false
		}
		if float64(c.prob) < least {
			return true
		}
		texts++
		return false
	})
	return kept, texts
}
