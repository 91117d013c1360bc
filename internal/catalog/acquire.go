package catalog

import (
	"context"
	"fmt"
	"sync"

	"prunellm/openapi"
	"prunellm/server"
)

// pinned is an engine in the hands of one request.
type pinned struct {
	*engine
	catalog *Catalog
	once    sync.Once
}

var _ server.Variant = (*pinned)(nil)

// Name implements server.Variant.
func (p *pinned) Name() string { return p.built.Name() }

// Release implements server.Variant.
func (p *pinned) Release() {
	p.once.Do(func() {
		s := p.catalog.state
		s.mu.Lock()
		last := s.release(p.engine)
		s.mu.Unlock()
		if last {
			p.catalog.evictor.close(p.engine)
		}
	})
}

// Acquire implements server.Models.
func (c *Catalog) Acquire(ctx context.Context, name openapi.ModelName) (server.Variant, error) {
	model := c.options.Model
	if name.Base != "" && name.Base != model.Name && name.Base != openapi.AnyModel {
		return nil, fmt.Errorf("model %q: %w; this server has %q", name.Base, server.ErrModelNotFound, model.Name)
	}
	ratio := model.ratioOf(name)
	if held, err := c.choose(name); held != nil || err != nil {
		return held, err
	}
	if held := c.hold(ratio); held != nil {
		return held, nil
	}
	if ratio != model.Startup {
		return c.wait(ctx, ratio)
	}
	c.replaceLost()
	if model.ServeDense && name.Explicit { // a request for this very ratio waits for it, as for any other
		return c.wait(ctx, ratio)
	}
	if model.ServeDense {
		if held := c.hold(0); held != nil {
			return held, nil
		}
	}
	status := c.Status()
	return nil, &server.NotReadyError{RetryAfter: status.RetryAfter, Progress: status.Progress}
}

// ratioOf returns the ratio that a name stands for.
func (m Model) ratioOf(name openapi.ModelName) float64 {
	if name.Explicit {
		return name.Ratio
	}
	return m.Startup
}

// hold returns the engine of a ratio for a request, nil if it is not loaded.
func (c *Catalog) hold(ratio float64) server.Variant {
	s := c.state
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.engine(ratio)
	if e == nil {
		return nil
	}
	s.take(e)
	return &pinned{engine: e, catalog: c}
}

// wait waits for the engine of a ratio, which is made if need be.
func (c *Catalog) wait(ctx context.Context, ratio float64) (server.Variant, error) {
	for {
		shelf, err := c.maker.open(ratio)
		if err != nil {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-shelf.done:
		}
		if shelf.err != nil {
			return nil, shelf.err
		}
		if held := c.hold(ratio); held != nil {
			return held, nil
		}
	}
}

// replaceLost has the startup variant loaded again if its engine has failed.
func (c *Catalog) replaceLost() {
	startup := c.options.Model.Startup
	c.state.mu.Lock()
	shelf, ok := c.state.shelves[startup]
	lost := ok && shelf.filled() && shelf.err == nil && c.state.engine(startup) == nil
	c.state.mu.Unlock()
	if !lost {
		return
	}
	if _, err := c.maker.open(startup); err != nil {
		c.options.Log.Warn("failed engine not replaced", "ratio", startup, "error", err)
	}
}
