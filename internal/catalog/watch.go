package catalog

import (
	"context"
	"sync"
	"time"

	"prunellm/infer"
	"prunellm/server"
)

// watch observes answers for shedding.
//
// # Concurrency
//
// Its mutex guards shedding. The code takes no other mutex while it holds this one.
type watch struct {
	mu       sync.Mutex
	shedding shedding
}

// level returns the current number of steps down the ladder.
func (w *watch) level() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.shedding.level()
}

// decide makes the next decision; see shedding.decide.
func (w *watch) decide(auto Auto, levels int, busy load, now time.Time) (level int, changed bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.shedding.decide(auto, levels, busy, now)
}

// observe calls see under the mutex.
func (w *watch) observe(see func(*shedding)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	see(&w.shedding)
}

// watched is a server.Generator that reports its answers to a watch.
type watched struct {
	server.Generator
	watch *watch
	clock func() time.Time
}

// Submit implements server.Generator.
func (v *watched) Submit(ctx context.Context, request infer.Request) (infer.Generation, error) {
	g, err := v.Generator.Submit(ctx, request)
	if err != nil {
		return nil, err
	}
	return v.follow(ctx, g), nil
}

// SubmitN implements server.Generator.
func (v *watched) SubmitN(ctx context.Context, request infer.Request, n int) ([]infer.Generation, error) {
	generations, err := v.Generator.SubmitN(ctx, request, n)
	for i := range generations {
		generations[i] = v.follow(ctx, generations[i])
	}
	return generations, err
}

func (v *watched) follow(ctx context.Context, g infer.Generation) infer.Generation {
	a := &watchedAnswer{Generation: g, watched: v, began: v.clock()}
	v.watch.observe(func(s *shedding) { a.ticket = s.begin(a.began) })
	// End the answer of a client that has disconnected, or it would seem to wait forever.
	context.AfterFunc(ctx, func() { a.end(v.clock(), 0, 0) })
	return a
}

// watchedAnswer is an infer.Generation that reports the times of its tokens. Only one goroutine may read it.
type watchedAnswer struct {
	infer.Generation
	watched *watched
	ticket  ticket
	began   time.Time
	first   time.Time // zero before the first token
	tokens  int       // tokens that came with the first chunk
}

// Next implements infer.Generation.
func (a *watchedAnswer) Next(ctx context.Context) (infer.Chunk, error) {
	chunk, err := a.Generation.Next(ctx)
	now := a.watched.clock()
	if err == nil && a.first.IsZero() && chunk.Usage.Completion > 0 {
		a.first, a.tokens = now, chunk.Usage.Completion
		a.watched.watch.observe(func(s *shedding) { s.first(a.ticket, now, now.Sub(a.began)) })
	}
	if err != nil || chunk.Finish != "" {
		var itl, service time.Duration
		if more := chunk.Usage.Completion - a.tokens; err == nil && more > 0 {
			itl, service = now.Sub(a.first)/time.Duration(more), now.Sub(a.began)-chunk.Queued
		}
		a.end(now, itl, service)
	}
	return chunk, err
}

func (a *watchedAnswer) end(now time.Time, itl, service time.Duration) {
	a.watched.watch.observe(func(s *shedding) { s.end(a.ticket, now, itl, service) })
}
