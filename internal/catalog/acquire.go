package catalog

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"prunellm/openapi"
	"prunellm/server"
)

// Acquire implements server.Models.
func (c *Catalog) Acquire(ctx context.Context, name openapi.ModelName) (*server.Variant, error) {
	model := c.options.Model
	if err := model.check(name); err != nil {
		return nil, err
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
	if model.ServeDense && name.Explicit { // the client named the ratio, so the dense model must not answer in its place
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

// named reports whether a base name is one of the model's. Clients of Ollama put a tag behind names.
func (m Model) named(base string) bool {
	base = openapi.Untagged(base)
	return base == openapi.AnyModel || slices.ContainsFunc(append([]string{m.Name}, m.Aliases...), func(name string) bool {
		return openapi.Untagged(name) == base
	})
}

// check refuses a name of another model. A name without a base is the model's.
func (m Model) check(name openapi.ModelName) error {
	if name.Base != "" && !m.named(name.Base) {
		return fmt.Errorf("model %q: %w; this server has %q", name.Base, server.ErrModelNotFound, m.Name)
	}
	return nil
}

// ratioOf returns the ratio that a model name means.
func (m Model) ratioOf(name openapi.ModelName) float64 {
	if name.Explicit {
		return name.Ratio
	}
	return m.Startup
}

// hold lends the engine of a ratio to a request. It returns nil if the engine is not loaded.
func (c *Catalog) hold(ratio float64) *server.Variant {
	s := c.state
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.engine(ratio)
	if e == nil {
		return nil
	}
	s.take(e)
	serving := e.Serving
	if c.options.Measure.Speeds != nil {
		serving.Generator = &experience{Generator: serving.Generator, measurer: c.measurer, engine: e}
	}
	return &server.Variant{
		Engine: serving, Name: e.built.Name(), Stage: e.built.Stage, Digest: e.built.Digest,
		Release: sync.OnceFunc(func() { c.release(e) }),
	}
}

// release ends the use of an engine by a request.
func (c *Catalog) release(e *engine) {
	c.state.mu.Lock()
	last := c.state.release(e)
	c.state.mu.Unlock()
	if last {
		c.evictor.close(e)
	}
}

// wait waits until the engine of a ratio is loaded. If necessary it starts to make the variant.
func (c *Catalog) wait(ctx context.Context, ratio float64) (*server.Variant, error) {
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

// replaceLost reloads the startup variant if its engine has failed.
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
