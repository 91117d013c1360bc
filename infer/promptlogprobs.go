package infer

import (
	"fmt"
	"math"
)

// promptScores collects the log probabilities of a prompt's tokens.
type promptScores struct {
	tokens  []TokenInfo // of the tokens so far; the first one's log probability is NaN
	scratch *scratch
	top     []weighted
}

// newPromptScores begins with the prompt's first token, which has no log probability.
func (l *loop) newPromptScores(first Token) *promptScores {
	info := TokenInfo{TokenProb: TokenProb{Token: first, Piece: l.dec.Piece(first, true), Logprob: math.NaN()}}
	return &promptScores{tokens: []TokenInfo{info}, scratch: scratchFor(l.dec)}
}

// scorePrompt scores the prompt tokens after each token of a step, before the sampler changes the logits. It reports whether
// the request has ended with its prompt.
func (l *loop) scorePrompt(r *request) (ended bool) {
	if r.scores == nil {
		r.scores = l.newPromptScores(r.req.Prompt[0])
	}
	from := r.decoded - r.granted // index of the step's first token in the prompt
	for i := range r.granted {
		next := from + i + 1
		if next == len(r.req.Prompt) {
			break
		}
		if err := l.scoreToken(r, r.req.Prompt[next], l.dec.Logits(r.first+i)); err != nil {
			r.stream.fail(fmt.Errorf("%w: %w", ErrEngine, err))
			l.release(r)
			return true
		}
	}
	if r.decoded < len(r.req.Prompt) {
		return false
	}
	r.stream.describePrompt(r.scores.tokens)
	r.scores = nil
	if r.req.MaxTokens > 0 {
		return false
	}
	r.stream.put(nil, nil, r.usage, FinishLength)
	l.release(r)
	return true
}

// scoreToken adds a token whose distribution is float32[vocab] logits.
func (l *loop) scoreToken(r *request, t Token, logits []float32) error {
	s := r.scores
	_, largest := s.scratch.argmax(logits)
	if math.IsInf(float64(largest), 0) {
		return errLogits
	}
	sum := exponentials(logits, largest, 1, s.scratch)
	if !(sum > 0) {
		return errLogits
	}
	normaliser := float64(largest) + math.Log(sum)
	describe := func(t Token, logit float32) TokenProb {
		return TokenProb{Token: t, Piece: l.dec.Piece(t, true), Logprob: float64(logit) - normaliser}
	}
	info := TokenInfo{TokenProb: describe(t, logits[t])}
	s.top = largestK(logits, float32(math.Inf(-1)), r.req.Logprobs, s.top[:0])
	for _, w := range s.top {
		info.Top = append(info.Top, describe(w.token, w.value))
	}
	s.tokens = append(s.tokens, info)
	return nil
}
