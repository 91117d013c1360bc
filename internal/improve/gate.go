package improve

import (
	"context"
	"sync"
)

// gate makes background work give way to variants that clients wait for. Such a variant may need the value that the work
// computes under a lease, and the work may be stopped because requests run. The zero value is open.
type gate struct {
	mu     sync.Mutex
	making bool
	opened chan struct{}      // closed when making ends; nil before the first time
	cancel context.CancelFunc // cancels the running work; nil if none runs
}

// set records whether a variant is being made. It returns at once.
func (g *gate) set(making bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if making == g.making {
		return
	}
	if g.making = making; making {
		g.opened = make(chan struct{})
		if g.cancel != nil {
			g.cancel()
		}
		return
	}
	close(g.opened)
}

// do runs the work while no variant is being made. When one begins, do cancels the work's context, waits until it is made and
// runs the work again.
func (g *gate) do(ctx context.Context, work func(context.Context) error) error {
	for {
		inner, closed := g.begin(ctx)
		if closed != nil {
			select {
			case <-closed:
				continue
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		err := work(inner)
		gaveWay := g.end(inner)
		if err == nil || ctx.Err() != nil || !gaveWay {
			return err
		}
	}
}

// begin returns a context for the work. If a variant is being made, it returns instead a channel that is closed when the
// work may begin.
func (g *gate) begin(ctx context.Context) (inner context.Context, closed <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.making {
		return nil, g.opened
	}
	inner, g.cancel = context.WithCancel(ctx)
	return inner, nil
}

// end records that the work has ended. It reports whether the work was cancelled.
func (g *gate) end(inner context.Context) (cancelled bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	cancelled = inner.Err() != nil
	g.cancel()
	g.cancel = nil
	return cancelled
}
