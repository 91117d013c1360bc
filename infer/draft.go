package infer

import (
	"fmt"
	"slices"
)

// Answers often repeat tokens of their prompt or of themselves: code that is edited, a text that is quoted, a table. A drafter
// predicts such tokens, and the model verifies several of them in one step. The answer is the same as without drafts, bit for
// bit, if the decoder's logits do not depend on the batch: each position is sampled in order with the request's own sampler, and
// the first token that differs from its prediction ends the draft. See decision 0321.

const (
	shortestMatch = 2   // tokens at the end of the answer that an earlier place must repeat
	trusted       = 4   // the beginning of the client's prediction counts as a match of so many tokens
	longestMatch  = 16  // a match as long as this ends the search
	leastGain     = 1.1 // tokens per time with a draft, in those without: below this an answer decodes without one
)

// drafter predicts the next tokens of one answer: those that followed an earlier place which repeats the end of the answer.
// It also compares the predictions that no step verifies with the answer, so an answer that does not repeat anything
// costs no time of the model.
type drafter struct {
	tokens []Token // of the client's prediction, the prompt and the answer
	at     int     // index of the place whose tokens predict the next ones; -1: no prediction
	run    int     // tokens before that place that repeat the end of the answer
	rates  [runClasses]rate
	draft  []Token // the result of propose
}

// rate counts how often predictions were right, with more weight on recent ones.
type rate struct{ right, all float64 }

const (
	runClasses = 6
	rateMemory = 0.95 // weight of the counts so far when another prediction is counted
)

// firstRates is what a drafter expects of predictions after matches of 2, 3, 4 to 7, 8 to 15, 16 to 31 and more tokens.
var firstRates = [runClasses]rate{{0.9, 3}, {1.5, 3}, {2.1, 3}, {2.6, 3}, {2.8, 3}, {2.9, 3}}

func runClass(run int) int {
	switch {
	case run < 3:
		return 0
	case run < 4:
		return 1
	case run < 8:
		return 2
	case run < 16:
		return 3
	case run < 32:
		return 4
	}
	return 5
}

// newDrafter returns the drafter of an answer to a prompt. The answer may begin with the client's prediction.
func newDrafter(prediction, prompt []Token) *drafter {
	d := &drafter{tokens: slices.Concat(prediction, prompt), rates: firstRates}
	if len(prediction) > 0 {
		d.at, d.run = 0, trusted
	} else {
		d.search()
	}
	return d
}

// add appends a token of the answer.
func (d *drafter) add(t Token) {
	if d.at >= 0 {
		r := &d.rates[runClass(d.run)]
		r.all = r.all*rateMemory + 1
		r.right *= rateMemory
		if d.tokens[d.at] == t {
			r.right++
			d.at++
			d.run++
		} else {
			d.at = -1
		}
	}
	d.tokens = append(d.tokens, t)
	if d.at < 0 {
		d.search()
	}
}

// search finds the longest match, and among equals the most recent one.
func (d *drafter) search() {
	d.at, d.run = -1, 0
	n := len(d.tokens)
	if n <= shortestMatch {
		return
	}
	last, before := d.tokens[n-1], d.tokens[n-2]
	for end := n - 1; end >= shortestMatch; end-- {
		if d.tokens[end-1] != last || d.tokens[end-2] != before {
			continue
		}
		run := shortestMatch
		for run < longestMatch && run < end && d.tokens[end-1-run] == d.tokens[n-1-run] {
			run++
		}
		if run > d.run {
			if d.at, d.run = end, run; run == longestMatch {
				return
			}
		}
	}
}

// want returns how many tokens to draft, at most so many, if each takes cost times as long as a token without a draft.
func (d *drafter) want(most int, cost float64) int {
	if d.at < 0 {
		return 0
	}
	best, gain := 0, leastGain
	reach, tokens := 1.0, 1.0 // the probability that the model agrees so far; the tokens of the step
	for n := 1; n <= most; n++ {
		r := d.rates[runClass(d.run+n-1)]
		reach *= r.right / r.all
		tokens += reach
		if g := tokens / (1 + float64(n)*cost); g > gain {
			best, gain = n, g
		}
	}
	return best
}

// propose returns the next n predictions; the slice is valid until the next call. A place that reaches the end of the answer
// goes on with its own predictions, as in a text that repeats a few tokens.
func (d *drafter) propose(n int) []Token {
	d.draft = d.draft[:0]
	for i := range n {
		if from := d.at + i; from < len(d.tokens) {
			d.draft = append(d.draft, d.tokens[from])
		} else {
			d.draft = append(d.draft, d.draft[from-len(d.tokens)])
		}
	}
	return d.draft
}

// stepTimes estimates the time of a step without prompts from earlier ones: a constant and a time for each entry. Recent steps
// count more.
type stepTimes struct {
	weight, x, y, xx, xy float64 // sums over steps: 1, entries, seconds and their products
}

const (
	stepMemory = 0.99 // weight of earlier steps when another one is measured
	firstCost  = 0.3  // time of a further entry, in that of a step, before steps of several sizes were measured
	firstTrust = 0.05 // variance of the entries at which measured steps count as much as firstCost
	outlier    = 3    // a step that takes so many times as long as expected counts as one of that time
)

// measured adds a step.
func (s *stepTimes) measured(entries int, seconds float64) {
	x, y := float64(entries), seconds
	if s.weight > 0 {
		each, fixed := s.line()
		y = min(y, outlier*(fixed+each*x))
	}
	for _, sum := range []*float64{&s.weight, &s.x, &s.y, &s.xx, &s.xy} {
		*sum *= stepMemory
	}
	s.weight++
	s.x += x
	s.y += y
	s.xx += x * x
	s.xy += x * y
}

// line returns the seconds of each entry and of a step without entries.
func (s *stepTimes) line() (each, fixed float64) {
	x, y := s.x/s.weight, s.y/s.weight
	variance, together := max(s.xx/s.weight-x*x, 0), s.xy/s.weight-x*y
	first := y / (1/firstCost - 1 + x) // the slope if a further entry costs firstCost of a step of one
	each = (together + firstTrust*first) / (variance + firstTrust)
	each = min(max(each, y/x/100), y/x)
	return each, y - each*x
}

// cost returns the time of a drafted entry, in the time that a step of some answers takes for each of them.
func (s *stepTimes) cost(answers int) float64 {
	if s.y <= 0 { // nothing was measured
		return firstCost
	}
	each, fixed := s.line()
	return each / (each + fixed/float64(answers))
}

// mayDraft reports whether the step may have drafts: they are on, and it has no tokens of prompts.
func (l *loop) mayDraft() bool {
	if l.opts.DraftMax <= 0 {
		return false
	}
	for i, w := range l.wants {
		if w.prompt > 0 && l.grants[i] > 0 {
			return false
		}
	}
	return true
}

// planDrafts adds drafts to the grants of a step for answers alone, as far as the batch has room.
func (l *loop) planDrafts() {
	if !l.mayDraft() {
		return
	}
	answers := 0
	for _, n := range l.grants {
		answers += n
	}
	room, cost := l.dec.BatchSize()-answers, l.times.cost(answers)
	for i, r := range l.running {
		if r.drafter == nil || l.grants[i] == 0 {
			continue
		}
		// The next token takes one position of the context and one of max_tokens, and so does the token behind the draft.
		left := min(l.dec.ContextSize()-len(l.sequences[r.sequence].tokens), r.req.MaxTokens-r.usage.Completion) - 1
		n := r.drafter.want(min(l.opts.DraftMax, left, room), cost)
		l.grants[i] += n
		room -= n
	}
}

// addDraft appends n predicted tokens behind the token that a request generated last.
func (l *loop) addDraft(r *request, n int) {
	if n <= 0 {
		return
	}
	r.draft = r.drafter.propose(n)
	for i, t := range r.draft {
		at := len(l.sequences[r.sequence].tokens) + i
		l.entries = append(l.entries, Entry{Token: t, Position: at, Sequence: r.sequence, Logits: true})
	}
	r.usage.Drafted += n
}

// verify compares the token that a request has got with its draft. It reports whether they agree: the draft's entry then has
// the logits of the next token. Otherwise it removes the rest of the draft from the sequence, which the request may have
// released.
func (l *loop) verify(r *request, sequence int) (more bool, err error) {
	if len(r.draft) == 0 {
		return false, nil
	}
	s := &l.sequences[sequence]
	if r.sequence >= 0 && r.draft[0] == r.next {
		s.tokens = append(s.tokens, r.next)
		r.draft = r.draft[1:]
		r.entry = r.first + r.granted - 1 - len(r.draft)
		r.logits = l.dec.Logits(r.entry)
		return true, nil
	}
	r.draft = nil
	if err := l.dec.SequenceRemove(sequence, len(s.tokens), -1); err != nil {
		r.stream.fail(fmt.Errorf("%w: cut a draft: %w", ErrEngine, err))
		if r.sequence >= 0 {
			l.release(r)
		}
		return false, l.empty(sequence)
	}
	return false, nil
}
