package improve

import (
	"context"
	"sync"
)

// gate has background work give way to variants that clients wait for. They may need the very value that the work computes,
// under a lease, while the work stands for requests. The zero value is open.
type gate struct {
	mu     sync.Mutex
	making bool
	opened chan struct{}      // closed when making ends; nil unless making
	cancel context.CancelFunc // of the work that runs; nil: none does
}

// set reports whether a variant is being made. It returns at once.
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

// do runs the work while nothing is being made. It cancels the work's context when that begins, and runs the work again
// when it has ended.
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

// begin returns a context for the work, or what is closed when it may begin.
func (g *gate) begin(ctx context.Context) (inner context.Context, closed <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.making {
		return nil, g.opened
	}
	inner, g.cancel = context.WithCancel(ctx)
	return inner, nil
}

// end forgets the work and reports whether it was cancelled.
func (g *gate) end(inner context.Context) (cancelled bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	cancelled = inner.Err() != nil
	g.cancel()
	g.cancel = nil
	return cancelled
}
