package catalog

import (
	"context"
	"errors"
	"fmt"
	"time"

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
	if m.has(built.Digest) {
		return nil
	}
	loaded, err := m.work.Load(m.ctx, built)
	if err != nil {
		return fmt.Errorf("load %s: %w", built.Name(), err)
	}
	old, idle, err := m.exchange(m.newEngine(loaded, built, m.memory(built)))
	if err != nil {
		return errors.Join(err, loaded.Close(m.ctx))
	}
	m.log.Info("variant replaced", "variant", built.Name(), "digest", built.Digest)
	if idle {
		m.evictor.close(old)
	}
	return nil
}

// has reports whether a file with this digest is loaded.
func (m *maker) has(digest string) bool {
	m.state.mu.Lock()
	defer m.state.mu.Unlock()
	_, ok := m.state.loaded[digest]
	return ok
}

// exchange replaces the engine of its ratio with next and starts to measure it; see stock.exchange.
func (m *maker) exchange(next *engine) (old *engine, idle bool, err error) {
	m.state.mu.Lock()
	defer m.state.mu.Unlock()
	if m.state.closed {
		return nil, false, errClosed
	}
	old, idle, err = m.state.exchange(next)
	if err == nil {
		m.measurer.learn(next)
	}
	return old, idle, err
}

// swapPause is the pause between attempts to replace a variant that is still loading.
const swapPause = time.Second

// Improve waits until the ratio's variant is loaded, trains it and swaps in the result. It does not swap if train
// reports that the result is not better. It returns the errors of train, Swap and ctx.
func Improve(ctx context.Context, c *Catalog, ratio float64, train func() (built variant.Built, better bool, err error)) error {
	for !c.Answers(ratio) {
		if err := sleep(ctx, swapPause); err != nil {
			return err
		}
	}
	built, better, err := train()
	if err != nil || !better {
		return err
	}
	for {
		err := c.Swap(built)
		if !errors.Is(err, ErrNotServed) {
			return err
		}
		if err := sleep(ctx, swapPause); err != nil {
			return err
		}
	}
}

// sleep waits for d. It returns an error if ctx ends first.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
