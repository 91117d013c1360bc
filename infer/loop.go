package infer

import (
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"
)

// maxFailures is how many steps may fail in a row before the engine gives up.
const maxFailures = 3

// loop is the state of the owner goroutine.
type loop struct {
	*Engine
	sequences []cacheState
	running   []*request // in order of arrival
	samplers  *samplers
	keeper    stateKeeper // nil: nothing is saved
	saved     savedStates
	step      uint64
	held      int           // prompt tokens decoded since running answers last had a token
	owed      time.Duration // that running answers may decode without prompts
	failures  int

	// Each step reuses these.
	wants   []want
	grants  []int
	entries []Entry
	order   []*request
}

// run is the owner goroutine.
func (e *Engine) run() {
	defer close(e.done)
	l := &loop{
		Engine:    e,
		sequences: make([]cacheState, e.dec.Sequences()),
		samplers:  newSamplers(e.dec),
	}
	if keeper, ok := e.dec.(stateKeeper); ok && e.opts.PromptCacheBytes > 0 {
		l.keeper, l.saved.budget = keeper, e.opts.PromptCacheBytes
	}
	err := l.serve()
	l.samplers.close()
	l.finish(err)
}

// serve runs until the engine is closed and empty, or fails. A panic here is a bug of this package or of the decoder's
// binding. It ends this engine, not the process.
func (l *loop) serve() (err error) {
	defer func() {
		if p := recover(); p != nil {
			l.log.Error("engine panicked", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			err = fmt.Errorf("%w: panic: %v", ErrEngine, p)
		}
	}()
	for {
		select {
		case <-l.abort:
			return nil
		default:
		}
		l.dropLeft()
		l.admit()
		if len(l.running) == 0 {
			if l.idleUntilWoken() {
				return nil
			}
			continue
		}
		if err := l.advance(); err != nil {
			return err
		}
	}
}

// idleUntilWoken waits for a request. It reports whether the engine must end instead.
func (l *loop) idleUntilWoken() (end bool) {
	l.mu.Lock()
	end = l.closing && len(l.waiting) == 0
	empty := len(l.waiting) == 0
	l.mu.Unlock()
	if end || !empty {
		return end
	}
	select {
	case <-l.wake:
		return false
	case <-l.abort:
		return true
	}
}

// dropLeft ends the running requests whose context has ended.
func (l *loop) dropLeft() {
	for _, r := range l.running {
		if err := r.ctx.Err(); err != nil {
			r.stream.fail(err)
			l.release(r)
		}
	}
	l.compact()
}

// release frees a request's sequence and keeps its cache for later prompts. compact then takes the request off the
// list.
func (l *loop) release(r *request) {
	s := &l.sequences[r.sequence]
	s.busy = false
	s.used = l.step
	l.counters.running.Add(-1) // compact sets it again
	r.sequence = -1
	r.over = true
}

func (l *loop) compact() {
	l.running = slices.DeleteFunc(l.running, func(r *request) bool { return r.sequence < 0 })
	l.counters.running.Store(int64(len(l.running)))
}

// admit assigns free sequences to waiting requests, in order of arrival.
func (l *loop) admit() {
	for len(l.running) < len(l.sequences) {
		r := l.nextWaiting()
		if r == nil {
			return
		}
		if err := l.start(r); err != nil {
			r.stream.fail(err)
			r.over = true
			continue
		}
		if l.opts.Admitted != nil {
			l.opts.Admitted(time.Since(r.came))
		}
		l.running = append(l.running, r)
		l.counters.running.Store(int64(len(l.running)))
	}
}

// nextWaiting takes the earliest request that can start off the queue. A request that waits for another's prompt does
// not block later ones.
func (l *loop) nextWaiting() *request {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dropCancelled()
	at := slices.IndexFunc(l.waiting, (*request).admissible)
	if at < 0 {
		return nil
	}
	r := l.waiting[at]
	l.waiting = slices.Delete(l.waiting, at, at+1)
	l.counters.queued.Store(int64(len(l.waiting)))
	return r
}

// start assigns a sequence to a request and keeps the part of its cache that fits the prompt.
func (l *loop) start(r *request) error {
	c := chooseSequence(l.sequences, r.reusable(), l.copyAtLeast(r))
	if l.keeper != nil {
		l.restore(r.reusable(), &c)
	}
	l.saveBefore(c.sequence, min(c.reuse, commonPrefix(l.sequences[c.sequence].tokens, r.req.Prompt)))
	s := &l.sequences[c.sequence]
	if c.copyFrom >= 0 && c.copyFrom != c.sequence {
		if err := l.dec.SequenceCopy(c.copyFrom, c.sequence); err != nil {
			return errors.Join(fmt.Errorf("%w: copy a prompt's cache: %w", ErrEngine, err), l.empty(c.sequence))
		}
		s.tokens = append(s.tokens[:0], l.sequences[c.copyFrom].tokens...)
	}
	if len(s.tokens) > c.reuse {
		if err := l.dec.SequenceRemove(c.sequence, c.reuse, -1); err != nil {
			return errors.Join(fmt.Errorf("%w: cut a prompt's cache: %w", ErrEngine, err), l.empty(c.sequence))
		}
		s.tokens = s.tokens[:c.reuse]
	}
	s.busy = true
	r.sequence, r.decoded, r.usage.Cached = c.sequence, c.reuse, c.reuse
	r.stream.admitted()
	l.counters.prompt.Add(uint64(len(r.req.Prompt)))
	l.counters.cached.Add(uint64(c.reuse))
	return nil
}

// copyAtLeast returns the length of a common prefix that is worth a copy of another sequence. A request whose lead has
// the same prompt copies a prefix of any length.
func (l *loop) copyAtLeast(r *request) int {
	if r.lead != nil {
		return 1
	}
	return l.opts.CopyAtLeast
}

// empty removes all tokens of a sequence.
func (l *loop) empty(sequence int) error {
	l.sequences[sequence].tokens = l.sequences[sequence].tokens[:0]
	if err := l.dec.SequenceRemove(sequence, 0, -1); err != nil {
		return fmt.Errorf("%w: clear sequence %d: %w", ErrEngine, sequence, err)
	}
	return nil
}

// advance decodes one batch and delivers its results. It returns an error when the engine cannot continue.
func (l *loop) advance() error {
	l.compose()
	l.step++
	began := time.Now()
	err := l.dec.Decode(l.entries)
	l.owed = answersOwed(l.owed, time.Since(began), l.wants, l.grants)
	l.counters.steps.Add(1)
	l.counters.batchTokens.Add(uint64(len(l.entries)))
	if err != nil {
		return l.failStep(err)
	}
	l.failures = 0
	l.samplers.jobs = l.samplers.jobs[:0]
	for _, r := range l.running {
		if r.pool != nil {
			l.collect(r)
			continue
		}
		if r.req.PromptLogprobs && r.usage.Completion == 0 && r.granted > 0 && l.scorePrompt(r) {
			continue
		}
		if r.entry >= 0 {
			r.logits = l.dec.Logits(r.entry)
			l.samplers.jobs = append(l.samplers.jobs, r)
		}
	}
	l.samplers.run()
	for _, r := range l.samplers.jobs {
		l.deliver(r)
	}
	l.compact()
	return nil
}

// compose fills entries for the next step, ordered by sequence: llama.cpp puts neighbours into one graph.
func (l *loop) compose() {
	l.wants, l.order = l.wants[:0], l.order[:0]
	for _, r := range l.running {
		l.wants = append(l.wants, r.want())
	}
	l.grants = slices.Grow(l.grants[:0], len(l.wants))[:len(l.wants)]
	if answersAlone(l.wants, l.owed, l.opts.PrefillChunk) {
		planAnswers(l.wants, l.dec.BatchSize(), l.grants)
	} else {
		planStep(l.wants, l.dec.BatchSize(), l.opts.PrefillChunk, l.opts.SharedChunk, l.held, l.grants)
	}
	l.held = heldAfter(l.held, l.wants, l.grants)
	l.entries = l.entries[:0]
	for sequence := range l.sequences {
		for i, r := range l.running {
			if r.sequence == sequence {
				l.add(r, l.grants[i])
			}
		}
	}
}

// add appends n entries of a request: prompt tokens, or the token it generated last.
func (l *loop) add(r *request, n int) {
	r.entry, r.first, r.granted = -1, len(l.entries), n
	if n == 0 {
		return
	}
	s := &l.sequences[r.sequence]
	if r.decoded < len(r.req.Prompt) {
		for _, t := range r.req.Prompt[r.decoded : r.decoded+n] {
			l.entries = append(l.entries, Entry{Token: t, Position: len(s.tokens), Sequence: r.sequence, Hidden: r.pool != nil, Logits: r.req.PromptLogprobs})
			s.tokens = append(s.tokens, t)
		}
		r.decoded += n
		if r.decoded < len(r.req.Prompt) || r.pool != nil {
			return
		}
	} else {
		l.entries = append(l.entries, Entry{Token: r.next, Position: len(s.tokens), Sequence: r.sequence})
		s.tokens = append(s.tokens, r.next)
	}
	r.entry = len(l.entries) - 1
	l.entries[r.entry].Logits = true
}

// failStep ends the requests of a batch that failed. The engine continues with empty sequences unless too many steps in
// a row failed.
func (l *loop) failStep(cause error) error {
	l.failures++
	l.log.Error("decode", "error", cause, "entries", len(l.entries), "failures", l.failures)
	failure := fmt.Errorf("%w: decode: %w", ErrEngine, cause)
	var fatal error
	for _, r := range l.running {
		r.stream.fail(failure)
		sequence := r.sequence
		l.release(r)
		fatal = errors.Join(fatal, l.empty(sequence))
	}
	l.compact()
	if fatal == nil && l.failures >= maxFailures {
		fatal = fmt.Errorf("%w: %d steps in a row failed: %w", ErrEngine, l.failures, cause)
	}
	return fatal
}

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
		l.release(r) // first, so that a client that reads the end finds it in the counters
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

// describe adds the pieces to the sampler's description of a token; nil if the request wants no log probabilities.
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

// finish ends all remaining requests and closes the decoder. cause is nil after a Close.
func (l *loop) finish(cause error) {
	l.mu.Lock()
	l.closing = true
	waiting := l.waiting
	l.waiting = nil
	l.mu.Unlock()
	reason := cause
	if reason == nil {
		reason = fmt.Errorf("%w: closed", ErrEngine)
	}
	for _, r := range append(waiting, l.running...) {
		r.stream.fail(reason)
	}
	l.counters.queued.Store(0)
	l.counters.running.Store(0)
	if err := l.dec.Close(); err != nil {
		l.log.Error("close decoder", "error", err)
		if cause == nil {
			cause = fmt.Errorf("%w: close: %w", ErrEngine, err)
		}
	}
	l.mu.Lock()
	l.err = cause
	l.mu.Unlock()
}
