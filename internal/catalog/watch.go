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
	waiting map[*watchedAnswer]time.Time // answers without a first token, by when they were submitted
	ttft    []timed
	itl     []timed
}

// timed is an observation.
type timed struct {
	at    time.Time
	value time.Duration
}

// maxSeen bounds the observations that are kept.
const maxSeen = 4096

// decide takes the next decision, at most one each autoClock, and tells the level and whether it changed.
func (w *watch) decide(auto Auto, levels int, now time.Time) (level int, changed bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	before := w.state.Level
	if now.Sub(w.decided) >= autoClock || before > levels {
		w.decided = now
		w.state = auto.Policy.Next(w.state, w.seen(now), auto.Limits, levels, now)
	}
	return w.state.Level, w.state.Level != before
}

// seen sums up the last slo.Window. The caller holds mu.
func (w *watch) seen(now time.Time) (s slo.Seen) {
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
	return s
}

// begin, first and end follow one answer.
func (w *watch) begin(a *watchedAnswer, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.waiting == nil {
		w.waiting = map[*watchedAnswer]time.Time{}
	}
	w.waiting[a] = now
}

func (w *watch) first(a *watchedAnswer, now time.Time, took time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.waiting, a)
	if len(w.ttft) < maxSeen {
		w.ttft = append(w.ttft, timed{now, took})
	}
}

func (w *watch) end(a *watchedAnswer, now time.Time, itl time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.waiting, a)
	if itl > 0 && len(w.itl) < maxSeen {
		w.itl = append(w.itl, timed{now, itl})
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
	context.AfterFunc(ctx, func() { v.watch.end(a, v.clock(), 0) })
	return a
}

// watchedAnswer is a generation that tells when its tokens come. One goroutine reads it.
type watchedAnswer struct {
	infer.Generation
	variant *watched
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
		itl := time.Duration(0)
		if more := chunk.Usage.Completion - a.tokens; err == nil && more > 0 {
			itl = now.Sub(a.first) / time.Duration(more)
		}
		a.variant.watch.end(a, now, itl)
	}
	return chunk, err
}
