package catalog

import (
	"context"
	"slices"
	"sync"
	"time"

	"prunellm/infer"
	"prunellm/internal/slo"
	"prunellm/server"
)

// watch observes answers and holds the state of shedding.
//
// # Concurrency
//
// Its mutex guards all fields; it is never held while another is taken.
type watch struct {
	mu      sync.Mutex
	state   slo.State
	decided time.Time
	epoch   int // changes of the level so far
	// What follows is of the variant that answers at present: when the level changes it begins anew, and answers of the
	// variant before, which may still wait in its queue, do not count any more.
	waiting map[*watchedAnswer]time.Time // answers without a first token, by when they were submitted
	ttft    []timed
	itl     []timed
	service []time.Duration // for which the last answers held their sequence
}

// timed is an observation.
type timed struct {
	at    time.Time
	value time.Duration
}

// maxSeen bounds the observations that are kept, maxService those of how long a sequence is held.
const (
	maxSeen    = 4096
	maxService = 16
)

// load is how busy an engine is.
type load struct{ running, queued, sequences int }

// level is how many steps down the ladder requests are now.
func (w *watch) level() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.state.Level
}

// decide takes the next decision, at most one each autoClock, and tells the level and whether it changed. busy is the load of
// the variant that answers now.
func (w *watch) decide(auto Auto, levels int, busy load, now time.Time) (level int, changed bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	before := w.state.Level
	if now.Sub(w.decided) >= autoClock || before > levels {
		w.decided = now
		w.state = auto.Policy.Next(w.state, w.seen(busy, now), auto.Limits, levels, now)
	}
	if w.state.Level != before {
		w.epoch++
		w.waiting, w.ttft, w.itl, w.service = nil, nil, nil, nil
	}
	return w.state.Level, w.state.Level != before
}

// seen sums up the last slo.Window. The caller holds mu.
func (w *watch) seen(busy load, now time.Time) (s slo.Seen) {
	recent := func(all []timed) ([]timed, time.Duration) {
		first := slices.IndexFunc(all, func(t timed) bool { return now.Sub(t.at) <= slo.Window })
		if first < 0 {
			return all[:0], 0
		}
		all = slices.Delete(all, 0, first)
		values := make([]time.Duration, len(all))
		for i, t := range all {
			values[i] = t.value
		}
		slices.Sort(values)
		return all, values[len(values)*9/10]
	}
	w.ttft, s.TTFT = recent(w.ttft)
	w.itl, s.ITL = recent(w.itl)
	s.Answers = len(w.ttft) + len(w.itl)
	for _, since := range w.waiting {
		s.Waiting = max(s.Waiting, now.Sub(since))
	}
	if n := len(w.service); n > 0 {
		var sum time.Duration
		for _, d := range w.service {
			sum += d
		}
		s.Expected = slo.Wait(busy.running, busy.queued, busy.sequences, sum/time.Duration(n))
	}
	return s
}

// begin, first and end follow one answer.
func (w *watch) begin(a *watchedAnswer, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.waiting == nil {
		w.waiting = map[*watchedAnswer]time.Time{}
	}
	w.waiting[a], a.epoch = now, w.epoch
}

func (w *watch) first(a *watchedAnswer, now time.Time, took time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.waiting, a)
	if a.epoch == w.epoch && len(w.ttft) < maxSeen {
		w.ttft = append(w.ttft, timed{now, took})
	}
}

// end hears of the time between tokens and the time for which the answer held its sequence; 0 is not known.
func (w *watch) end(a *watchedAnswer, now time.Time, itl, service time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.waiting, a)
	if a.epoch != w.epoch {
		return
	}
	if itl > 0 && len(w.itl) < maxSeen {
		w.itl = append(w.itl, timed{now, itl})
	}
	if service > 0 {
		w.service = append(w.service, service)
		w.service = w.service[max(0, len(w.service)-maxService):]
	}
}

// watched is a variant whose answers are observed.
type watched struct {
	server.Variant
	watch *watch
	clock func() time.Time
}

// Submit implements server.Variant.
func (v *watched) Submit(ctx context.Context, request infer.Request) (infer.Generation, error) {
	g, err := v.Variant.Submit(ctx, request)
	if err != nil {
		return nil, err
	}
	return v.follow(ctx, g), nil
}

// SubmitN implements server.Variant.
func (v *watched) SubmitN(ctx context.Context, request infer.Request, n int) ([]infer.Generation, error) {
	generations, err := v.Variant.SubmitN(ctx, request, n)
	for i := range generations {
		generations[i] = v.follow(ctx, generations[i])
	}
	return generations, err
}

func (v *watched) follow(ctx context.Context, g infer.Generation) infer.Generation {
	a := &watchedAnswer{Generation: g, variant: v, began: v.clock()}
	v.watch.begin(a, a.began)
	// An answer that nobody reads to its end must not seem to wait for ever.
	context.AfterFunc(ctx, func() { v.watch.end(a, v.clock(), 0, 0) })
	return a
}

// watchedAnswer is a generation that tells when its tokens come. One goroutine reads it.
type watchedAnswer struct {
	infer.Generation
	variant *watched
	epoch   int // when it was submitted; the watch's mutex guards it
	began   time.Time
	first   time.Time // zero before the first token
	tokens  int       // known when first came
}

// Next implements infer.Generation.
func (a *watchedAnswer) Next(ctx context.Context) (infer.Chunk, error) {
	chunk, err := a.Generation.Next(ctx)
	now := a.variant.clock()
	if err == nil && a.first.IsZero() && chunk.Usage.Completion > 0 {
		a.first, a.tokens = now, chunk.Usage.Completion
		a.variant.watch.first(a, now, now.Sub(a.began))
	}
	if err != nil || chunk.Finish != "" {
		var itl, service time.Duration
		if more := chunk.Usage.Completion - a.tokens; err == nil && more > 0 {
			itl, service = now.Sub(a.first)/time.Duration(more), now.Sub(a.began)-chunk.Queued
		}
		a.variant.watch.end(a, now, itl, service)
	}
	return chunk, err
}
