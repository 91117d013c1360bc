package catalog

import (
	"context"
	"log/slog"
	"time"

	"prunellm/server"
)

// evictor unloads engines to make room for a new one, when memory runs out, and after the idle timeout.
type evictor struct {
	state *state
	ctx   context.Context // ends when the catalog closes
	log   *slog.Logger
}

// close frees an evicted engine that has no users.
func (v *evictor) close(e *engine) {
	if err := e.Close(v.ctx); err != nil {
		v.log.Warn("variant not closed cleanly", "variant", e.built.Name(), "error", err)
	}
	v.log.Info("variant unloaded", "variant", e.built.Name())
}

// makeRoom evicts engines until one of this size fits. It evicts first a failed engine with the same digest, then the
// least recently used ones. It returns a *server.NotReadyError if no engine can be evicted.
func (v *evictor) makeRoom(digest string, bytes int64) error {
	for {
		victim, idle, full := v.evictFor(digest, bytes)
		switch {
		case !full:
			return nil
		case victim == nil:
			return &server.NotReadyError{RetryAfter: retryBusy, Progress: "all loaded variants are in use or pinned"}
		case idle:
			v.close(victim)
		}
	}
}

// evictFor evicts one engine if necessary. full says whether that was necessary. victim is nil if no engine can be
// evicted.
func (v *evictor) evictFor(digest string, bytes int64) (victim *engine, idle, full bool) {
	s := v.state
	s.mu.Lock()
	defer s.mu.Unlock()
	if failed, ok := s.loaded[digest]; ok {
		return failed, s.evict(failed), true
	}
	residents := s.residents()
	if s.limits.fits(residents, bytes) {
		return nil, false, false
	}
	oldest, ok := leastRecent(residents)
	if !ok {
		return nil, false, true
	}
	victim = s.loaded[oldest]
	return victim, s.evict(victim), true
}

// unloadOldest unloads the least recently used evictable engine. It reports whether there was one.
func (v *evictor) unloadOldest() bool { return v.unload(func() bool { return true }) }

// trim unloads engines beyond the number of places. That is the dense model, once it no longer answers in place of the
// startup variant.
func (v *evictor) trim() {
	for v.unload(func() bool { return len(v.state.loaded) > v.state.limits.places() }) {
	}
}

// unload unloads the least recently used evictable engine if wanted returns true. wanted runs under the mutex.
func (v *evictor) unload(wanted func() bool) bool {
	s := v.state
	s.mu.Lock()
	var victim *engine
	if wanted() {
		if oldest, ok := leastRecent(s.residents()); ok {
			victim = s.loaded[oldest]
			s.evict(victim)
		}
	}
	s.mu.Unlock()
	if victim != nil {
		v.close(victim)
	}
	return victim != nil
}

// sweep unloads the engines whose idle timeout has passed.
func (v *evictor) sweep() {
	s := v.state
	s.mu.Lock()
	var idle []*engine
	for _, digest := range s.limits.expired(s.residents(), s.clock()) {
		idle = append(idle, s.loaded[digest])
		s.evict(s.loaded[digest])
	}
	s.mu.Unlock()
	for _, e := range idle {
		v.close(e)
	}
}

// run calls sweep at intervals until ctx ends or the catalog closes.
func (v *evictor) run(ctx context.Context) {
	ticker := time.NewTicker(min(max(v.state.limits.IdleTimeout/4, time.Second), time.Minute))
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-v.ctx.Done():
			return
		case <-ticker.C:
			v.sweep()
		}
	}
}
