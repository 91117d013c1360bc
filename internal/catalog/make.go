package catalog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"prunellm/internal/variant"
	"prunellm/server"
)

// maker builds and loads variants, one at a time.
type maker struct {
	state    *state
	evictor  *evictor
	measurer *measurer
	work     Work
	progress func(variant.Progress) // may be nil
	ctx      context.Context        // ends when the catalog closes
	turn     turn                   // held while a variant is built and loaded
	log      *slog.Logger
}

// turn is a mutex whose lock operation respects a context. It holds at most one token, which belongs to the goroutine
// that put it there.
type turn chan struct{}

func newTurn() turn { return make(turn, 1) }

// take waits until the turn is free and takes it. The caller must call release.
func (t turn) take(ctx context.Context) (release func(), err error) {
	select {
	case t <- struct{}{}:
		return func() { <-t }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// open returns the shelf of a ratio. If there is none, or its engine was unloaded, open starts to fill a new one.
func (m *maker) open(ratio float64) (*shelf, error) {
	s := m.state
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errClosed
	}
	if there, ok := s.shelves[ratio]; ok && (!there.filled() || s.engine(ratio) != nil) {
		return there, nil
	}
	if err := s.checkMake(ratio); err != nil {
		return nil, err
	}
	if s.activity.making > s.limits.MaxWaiting {
		return nil, &server.NotReadyError{RetryAfter: retryBusy, Progress: "too many variants are being made"}
	}
	fresh := &shelf{ratio: ratio, done: make(chan struct{})}
	s.shelves[ratio] = fresh
	s.count(s.activity.build)
	s.spawn(func() { m.fill(fresh) })
	return fresh, nil
}

// fill makes and loads a shelf's variant. It always closes the shelf's done channel.
func (m *maker) fill(s *shelf) {
	release, err := m.turn.take(m.ctx)
	if err != nil {
		m.settle(s, nil, false, err)
		return
	}
	defer release()
	e, fresh, err := m.make(s)
	m.settle(s, e, fresh, err)
}

// settle sets the result of a shelf and ends the wait for it. fresh says that the engine is new to the catalog.
func (m *maker) settle(shelf *shelf, e *engine, fresh bool, err error) {
	s := m.state
	s.mu.Lock()
	defer s.mu.Unlock()
	shelf.engine, shelf.err = e, err
	s.count(func() { s.activity.making-- })
	switch {
	case err == nil:
		s.failures.succeeded(shelf.ratio)
	case !s.closed:
		s.failures.failed(shelf.ratio, err)
	}
	if err != nil {
		delete(s.shelves, shelf.ratio) // so that the next request retries
	}
	if fresh {
		s.loaded[e.built.Digest] = e
		m.measurer.learn(e)
	}
	close(shelf.done)
}

// make builds a variant, evicts engines if necessary, and loads it. fresh is false if another ratio's engine has the
// same file.
func (m *maker) make(shelf *shelf) (e *engine, fresh bool, err error) {
	if err := m.checkPlace(shelf.ratio); err != nil {
		m.evictor.trim()
		return nil, false, err
	}
	built, err := m.work.Build(m.ctx, shelf.ratio, func(p variant.Progress) {
		if p.Steps > 0 {
			p.Steps++ // for loading
		}
		m.report(shelf, p)
	})
	if err != nil {
		return nil, false, err
	}
	if e := m.note(shelf.ratio, built.Digest); e != nil {
		return e, false, nil
	}
	bytes := m.memory(built)
	if err := m.evictor.makeRoom(built.Digest, bytes); err != nil {
		return nil, false, err
	}
	m.report(shelf, loading(shelf.progress))
	loaded, err := m.load(built)
	if err != nil {
		return nil, false, fmt.Errorf("load %s: %w", built.Name(), err)
	}
	m.log.Info("variant loaded", "variant", built.Name(), "ratio_reached", built.Reached, "bytes", built.Bytes, "dense_bytes", built.DenseBytes, "stage", built.Stage, "digest", built.Digest)
	if built.Larger() {
		m.log.Warn("variant is larger than the model file; --file-type keep makes it smaller", "variant", built.Name())
	}
	return m.newEngine(loaded, built, bytes), true, nil
}

func (m *maker) checkPlace(ratio float64) error {
	m.state.mu.Lock()
	defer m.state.mu.Unlock()
	return m.state.checkPlace(ratio)
}

// note records the file of a ratio. It returns the working engine that has this file loaded, or nil if there is none.
func (m *maker) note(ratio float64, digest string) *engine {
	s := m.state
	s.mu.Lock()
	defer s.mu.Unlock()
	s.made.note(ratio, digest)
	if e, ok := s.loaded[digest]; ok && !isClosed(e.Done()) {
		return e
	}
	return nil
}

// load opens a variant. If memory runs out, it unloads idle engines one by one until loading succeeds.
func (m *maker) load(built variant.Built) (Loaded, error) {
	for {
		loaded, err := m.work.Load(m.ctx, built)
		var short interface{ OutOfMemory() bool }
		if err == nil || !errors.As(err, &short) || !short.OutOfMemory() {
			return loaded, err
		}
		if !m.evictor.unloadOldest() {
			return Loaded{}, err
		}
	}
}

func (m *maker) newEngine(loaded Loaded, built variant.Built, bytes int64) *engine {
	m.state.mu.Lock()
	defer m.state.mu.Unlock()
	return &engine{Loaded: loaded, built: built, bytes: bytes, used: m.state.clock()}
}

// memory returns the number of bytes that a loaded variant takes, or 0 if memory is not counted.
func (m *maker) memory(built variant.Built) int64 {
	if m.work.Memory == nil {
		return 0
	}
	return m.work.Memory(built)
}

// loading returns the progress of the loading stage, which follows the last stage of a build.
func loading(last variant.Progress) variant.Progress {
	return variant.Progress{Stage: variant.StageLoading, Step: last.Steps, Steps: last.Steps}
}

func (m *maker) report(shelf *shelf, p variant.Progress) {
	m.state.mu.Lock()
	shelf.progress = p
	m.state.mu.Unlock()
	if m.progress != nil {
		m.progress(p)
	}
}
