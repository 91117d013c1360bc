package infer

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

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

// nextWaiting removes the earliest request that can start from the queue. A request that waits for another's prompt does
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
	if l.opts.DraftMax > 0 && r.pool == nil {
		r.drafter = newDrafter(r.req.Prediction, r.req.Prompt)
	}
	r.sequence, r.decoded, r.usage.Cached = c.sequence, c.reuse, c.reuse
	r.stream.admitted()
	l.counters.prompt.Add(uint64(len(r.req.Prompt)))
	l.counters.cached.Add(uint64(c.reuse))
	return nil
}

// copyAtLeast returns the shortest common prefix for which a request copies another sequence. A request whose lead has the
// same prompt copies a prefix of any length.
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
