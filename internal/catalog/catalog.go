package catalog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"prunellm/infer"
	"prunellm/internal/variant"
	"prunellm/openapi"
	"prunellm/server"
)

// Catalog implements server.Models and server.Admin.
type Catalog struct {
	options  Options
	ctx      context.Context // ends when the catalog closes
	cancel   context.CancelFunc
	created  time.Time // the field "created" of models
	state    *state
	evictor  *evictor
	measurer *measurer
	maker    *maker
	watch    *watch // observes answers for shedding
}

var (
	_ server.Models = (*Catalog)(nil)
	_ server.Admin  = (*Catalog)(nil)
)

// New returns an empty catalog. Close frees it.
func New(options Options) *Catalog {
	ctx, cancel := context.WithCancel(context.Background())
	c := &Catalog{
		options: options, ctx: ctx, cancel: cancel, created: time.Now(),
		state: newState(options), watch: &watch{},
	}
	c.evictor = &evictor{state: c.state, ctx: ctx, log: options.Log}
	c.measurer = &measurer{
		state: c.state, measure: options.Measure, ctx: ctx, turn: newTurn(), log: options.Log,
		quiet: backoff{next: firstQuiet, most: lastQuiet}, idle: backoff{next: firstIdle, most: lastIdle},
	}
	c.maker = &maker{
		state: c.state, evictor: c.evictor, measurer: c.measurer, work: options.Work, progress: options.Hooks.Progress,
		ctx: ctx, turn: newTurn(), log: options.Log,
	}
	return c
}

// Start makes and loads the startup variant in the background. It retries with backoff until the variant is loaded, ctx
// ends or the catalog closes. With Model.ServeDense it loads the dense model first. At the end it loads the ladder.
// Start returns immediately and logs errors.
func (c *Catalog) Start(ctx context.Context) {
	c.state.mu.Lock()
	defer c.state.mu.Unlock()
	c.state.spawn(func() {
		ctx, stop := mergeCancel(ctx, c.ctx)
		defer stop()
		if model := c.options.Model; model.ServeDense && model.Startup > 0 {
			c.retry(ctx, 0)
		}
		c.retry(ctx, c.options.Model.Startup)
		c.loadLadder(ctx)
	})
	if c.options.Limits.IdleTimeout > 0 {
		c.state.spawn(func() { c.evictor.run(ctx) })
	}
}

// retry tries to make and load a variant until it succeeds or ctx ends.
func (c *Catalog) retry(ctx context.Context, ratio float64) {
	for retry := (backoff{next: firstRetry, most: lastRetry}); ; {
		held, err := c.wait(ctx, ratio)
		if err == nil {
			held.Release()
			return
		}
		if ctx.Err() != nil {
			return
		}
		pause := retry.pause()
		c.options.Log.Error("variant not made, retrying", "ratio", ratio, "pause", pause.String(), "error", err)
		c.state.mu.Lock()
		c.state.failures.retrying(err, pause)
		c.state.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// loadLadder loads the ratios from which auto chooses and keeps them loaded. It skips a ratio that cannot be made.
func (c *Catalog) loadLadder(ctx context.Context) {
	if !c.options.Auto.Limits.Set() {
		return
	}
	for _, ratio := range c.options.Auto.Ladder {
		c.state.mu.Lock()
		c.state.pinned[ratio] = true
		c.state.mu.Unlock()
		held, err := c.wait(ctx, ratio)
		if err != nil {
			if ctx.Err() == nil {
				c.options.Log.Warn("variant for auto not made, auto ignores it", "ratio", ratio, "error", err)
			}
			continue
		}
		held.Release()
	}
}

// Close stops builds, waits for them and closes all engines. It ends requests that still run when ctx ends.
func (c *Catalog) Close(ctx context.Context) error {
	c.state.mu.Lock()
	c.state.closed = true
	c.state.mu.Unlock()
	c.cancel()
	c.state.spawned.Wait()
	c.state.mu.Lock()
	engines := c.state.drain()
	c.state.mu.Unlock()
	var faults []error
	for _, e := range engines {
		if err := e.Close(ctx); err != nil {
			faults = append(faults, fmt.Errorf("close %s: %w", e.built.Name(), err))
		}
	}
	return errors.Join(faults...)
}

// Status implements server.Models.
func (c *Catalog) Status() server.Status {
	c.state.mu.Lock()
	defer c.state.mu.Unlock()
	return c.state.status()
}

// List implements server.Models.
func (c *Catalog) List() []openapi.Model {
	c.state.mu.Lock()
	defer c.state.mu.Unlock()
	return c.state.list(c.created)
}

// Load implements server.Models.
func (c *Catalog) Load() server.Load {
	c.state.mu.Lock()
	defer c.state.mu.Unlock()
	return c.state.total()
}

// Slots implements server.Models.
func (c *Catalog) Slots(name openapi.ModelName) (string, []infer.Slot, error) {
	if err := c.options.Model.check(name); err != nil {
		return "", nil, err
	}
	c.state.mu.Lock()
	e := c.state.loadedFor(name)
	c.state.mu.Unlock()
	if e == nil {
		return "", nil, &server.NotReadyError{Progress: "it is not loaded; a request for it loads it"}
	}
	return e.built.Name(), e.Slots(), nil
}

// Serving returns the variant of a ratio that answers now. ok is false if none is loaded or its engine has failed.
func (c *Catalog) Serving(ratio float64) (built variant.Built, ok bool) {
	c.state.mu.Lock()
	defer c.state.mu.Unlock()
	if e := c.state.engine(ratio); e != nil {
		return e.built, true
	}
	return variant.Built{}, false
}

// Announce has Status and Variants say which file replaces the startup variant's next: one line, or "" for none.
func (c *Catalog) Announce(next string) {
	c.state.mu.Lock()
	defer c.state.mu.Unlock()
	c.state.next = next
}

// Offer adds a ratio that another replica has made to the list of models. A request for it is cheap, because the
// replicas share its parts. Offer reports whether the ratio is new in this catalog.
func (c *Catalog) Offer(ratio float64) bool {
	c.state.mu.Lock()
	defer c.state.mu.Unlock()
	return c.state.offer(ratio)
}

// Swap loads another file for a ratio and replaces the current one with it. Running requests keep the old file until
// they end, and no request is rejected meanwhile. Both files are in memory during that time. If the file is already
// loaded, Swap does nothing. Swap returns ErrNotServed, or the error of loading.
func (c *Catalog) Swap(built variant.Built) error { return c.maker.swap(built) }

// mergeCancel returns a context that ends when a or b ends.
func mergeCancel(a, b context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(a)
	stop := context.AfterFunc(b, cancel)
	return ctx, func() { stop(); cancel() }
}
