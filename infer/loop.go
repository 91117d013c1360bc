package infer

import (
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"
)

// maxFailures is the number of consecutive failed steps after which the engine ends.
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
	held      int           // prompt tokens decoded since running answers last got a token
	owed      time.Duration // time that running answers may still decode without prompts
	failures  int
	times     stepTimes

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

// serve runs until the engine is closed and has no requests, or fails. A panic here is a bug of this package or of the
// decoder's binding. It ends this engine, not the process.
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
		l.publish()
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

// idleUntilWoken waits for a request. It reports whether the engine must end.
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

// advance decodes one batch and delivers its results. It returns an error when the engine cannot continue.
func (l *loop) advance() error {
	l.compose()
	l.step++
	began := time.Now()
	err := l.dec.Decode(l.entries)
	took := time.Since(began)
	l.owed = answersOwed(l.owed, took, l.wants, l.grants)
	l.counters.steps.Add(1)
	l.counters.batchTokens.Add(uint64(len(l.entries)))
	if err != nil {
		return l.failStep(err)
	}
	l.failures = 0
	if l.mayDraft() {
		l.times.measured(len(l.entries), took.Seconds())
	}
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
	err = l.sample()
	l.compact()
	return err
}

// sample samples and delivers a token of each job, and a further one while a job's draft agrees.
func (l *loop) sample() error {
	for len(l.samplers.jobs) > 0 {
		l.samplers.run()
		jobs := l.samplers.jobs
		l.samplers.jobs = jobs[:0]
		for _, r := range jobs {
			sequence := r.sequence
			l.deliver(r)
			if more, err := l.verify(r, sequence); err != nil {
				return err
			} else if more {
				l.samplers.jobs = append(l.samplers.jobs, r)
			}
		}
	}
	return nil
}

// compose fills entries for the next step, ordered by sequence, because llama.cpp puts neighbouring sequences into one graph.
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
	l.planDrafts()
	l.entries = l.entries[:0]
	for sequence := range l.sequences {
		for i, r := range l.running {
			if r.sequence == sequence {
				l.add(r, l.grants[i])
			}
		}
	}
}

// add appends n entries of a request: prompt tokens, or the token it generated last and its draft.
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
		r.entry = len(l.entries) - 1
	} else {
		r.entry = len(l.entries)
		l.entries = append(l.entries, Entry{Token: r.next, Position: len(s.tokens), Sequence: r.sequence})
		s.tokens = append(s.tokens, r.next)
		l.addDraft(r, n-1)
	}
	l.entries[r.entry].Logits = true
}

// failStep ends the requests of a batch that failed. The engine continues with empty sequences unless too many consecutive
// steps failed.
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
	l.running = nil
	l.publish()
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
