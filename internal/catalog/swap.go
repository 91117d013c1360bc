package catalog

import (
	"errors"
	"fmt"

	"prunellm/internal/variant"
)

// ErrNotServed is returned by Swap if the variant to replace is not loaded.
var ErrNotServed = errors.New("the variant to replace is not loaded")

// swap replaces the file of a ratio; see Catalog.Swap.
func (m *maker) swap(built variant.Built) error {
	release, err := m.turn.take(m.ctx)
	if err != nil {
		return err
	}
	defer release()
	next, fresh := m.loadedAs(built.Digest), false
	if next == nil {
		loaded, err := m.work.Load(m.ctx, built)
		if err != nil {
			return fmt.Errorf("load %s: %w", built.Name(), err)
		}
		next, fresh = m.newEngine(loaded, built, m.memory(built)), true
	}
	old, idle, err := m.exchange(built.Ratio, next, fresh)
	if err != nil && fresh {
		return errors.Join(err, next.Close(m.ctx))
	}
	if err != nil || old == next {
		return err
	}
	m.log.Info("variant replaced", "variant", built.Name(), "stage", built.Stage, "digest", built.Digest)
	if idle {
		m.evictor.close(old)
	}
	return nil
}

// loadedAs returns the engine that has the file with this digest loaded, or nil.
func (m *maker) loadedAs(digest string) *engine {
	m.state.mu.Lock()
	defer m.state.mu.Unlock()
	return m.state.loaded[digest]
}

// exchange replaces the engine of a ratio with next; see stock.exchange. It starts to measure a fresh engine.
func (m *maker) exchange(ratio float64, next *engine, fresh bool) (old *engine, idle bool, err error) {
	m.state.mu.Lock()
	defer m.state.mu.Unlock()
	switch {
	case m.state.closed:
		return nil, false, errClosed
	case !fresh && m.state.loaded[next.built.Digest] != next:
		return nil, false, fmt.Errorf("%w: %s was unloaded meanwhile", ErrNotServed, next.built.Name())
	}
	if old, idle, err = m.state.exchange(ratio, next); err != nil {
		return nil, false, err
	}
	m.state.made.note(ratio, next.built.Digest)
	if fresh {
		m.measurer.learn(next)
	}
	return old, idle, nil
}
