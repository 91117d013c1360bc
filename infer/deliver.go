package infer

import (
	"errors"
	"fmt"
)

// deliver adds the sampled token to a request's answer.
func (l *loop) deliver(r *request) {
	r.entry, r.logits = -1, nil
	if r.failed != nil {
		var parameter *ParameterError
		if failure := r.failed; errors.As(failure, &parameter) {
			r.stream.fail(failure)
		} else {
			r.stream.fail(fmt.Errorf("%w: %w", ErrEngine, failure))
		}
		l.release(r)
		return
	}
	r.usage.Completion++
	l.counters.completion.Add(1)
	r.next = r.sampled.Token
	if r.drafter != nil {
		r.drafter.add(r.next)
	}
	if len(r.draft) > 0 && r.draft[0] == r.next {
		r.usage.Accepted++
	}
	r.thinking = r.thinking[:0]
	var finish FinishReason
	switch {
	case (!r.req.IgnoreEOS || r.sampler.grammar != nil) && l.dec.EndOfGeneration(r.next):
		finish = FinishStop
		r.endText(false)
	case l.addText(r):
		finish = FinishStop
		r.stream.stoppedBy(r.text.match)
	case r.sampled.Ended:
		finish = FinishStop
		r.endText(false)
	case r.usage.Completion >= r.req.MaxTokens || len(l.sequences[r.sequence].tokens) >= l.dec.ContextSize():
		finish = FinishLength
		r.endText(true)
	}
	if r.thought != nil {
		r.usage.Thinking = r.thought.tokens
	}
	text, tokens := r.text.take()
	if finish != "" {
		l.release(r) // before the last chunk, so that a client that reads it finds the counters updated
	}
	if len(r.thinking) > 0 || len(text) > 0 || len(tokens) > 0 || finish != "" {
		r.stream.think(r.thinking)
		r.stream.put(text, tokens, r.usage, finish)
	}
}

// addText adds the sampled token to the thinking or to the answer. It reports whether the answer ends at a stop string.
func (l *loop) addText(r *request) (stopped bool) {
	piece := l.dec.Piece(r.next, false)
	if r.thought == nil || r.thought.split.state == answering {
		return r.text.add(piece, l.describe(r))
	}
	var info *TokenInfo
	if !r.thought.inside() {
		info = l.describe(r)
	}
	thinking, answer := r.thought.add(r.next, piece, info)
	return r.take(thinking, answer)
}

// describe returns the sampled token's log probabilities, or nil if the request wants none.
func (l *loop) describe(r *request) *TokenInfo {
	if r.req.Logprobs < 0 {
		return nil
	}
	info := r.sampled
	out := &TokenInfo{TokenProb: TokenProb{Token: info.Token, Piece: l.dec.Piece(info.Token, true), Logprob: info.Logprob}}
	if len(info.Top) > 0 {
		out.Top = make([]TokenProb, len(info.Top))
		for i, t := range info.Top {
			out.Top[i] = TokenProb{Token: t.Token, Piece: l.dec.Piece(t.Token, true), Logprob: t.Logprob}
		}
	}
	return out
}
