package catalog

import (
	"context"
	"errors"
	"time"
)

// ErrDisturbed tells that a speed could not be measured because of other work.
var ErrDisturbed = errors.New("disturbed by other work")

// Pauses between attempts to measure a speed.
const (
	firstQuiet = 2 * time.Second
	lastQuiet  = 15 * time.Second
)

// learnSpeed finds out in the background how quick a loaded variant is. It waits for a time without requests and builds,
// and tries again when one came in between. The caller holds mu.
func (c *Catalog) learnSpeed(e *engine) {
	if c.options.Speed == nil {
		return
	}
	c.work.Go(func() {
		for pause := c.quiet; ; pause = min(2*pause, lastQuiet) {
			err := c.tryMeasuring(e)
			if err == nil {
				return
			}
			if !errors.Is(err, ErrDisturbed) {
				if c.ctx.Err() == nil && !c.gone(e) {
					c.options.Log.Warn("speed not measured", "variant", e.built.Name(), "error", err)
				}
				return
			}
			select {
			case <-c.ctx.Done():
				return
			case <-e.Done():
				return
			case <-time.After(pause):
			}
		}
	})
}

func (c *Catalog) tryMeasuring(e *engine) error {
	select {
	case c.measure <- struct{}{}:
		defer func() { <-c.measure }()
	case <-c.ctx.Done():
		return c.ctx.Err()
	}
	c.mu.Lock()
	before, busy := c.comings, c.busy()
	if gone := e.retired; gone || busy {
		c.mu.Unlock()
		if gone {
			return context.Canceled
		}
		return ErrDisturbed
	}
	// Not a user of the engine, which may go for one that a client waits for; but work in the background makes room for it as for a user.
	ctx, stop := context.WithCancel(c.ctx)
	e.stopMeasuring = stop
	c.count(1)
	c.mu.Unlock()
	defer func() {
		stop()
		c.mu.Lock()
		e.stopMeasuring = nil
		c.count(-1)
		c.mu.Unlock()
	}()
	speed, err := c.options.Speed(ctx, e.built, e, func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.comings == before
	})
	if err != nil {
		return err
	}
	c.mu.Lock()
	e.speed = &speed
	c.mu.Unlock()
	c.options.Log.Info("speed known", "variant", e.built.Name(), "ttft_ms", speed.TTFTMillis, "itl_ms", speed.ITLMillis)
	return nil
}

// gone tells whether an engine is out of the catalog.
func (c *Catalog) gone(e *engine) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return e.retired
}

// busy tells whether anything is being answered or made. The caller holds mu.
func (c *Catalog) busy() bool {
	if c.waiting > 0 {
		return true
	}
	for _, e := range c.loaded {
		if e.users > 0 {
			return true
		}
	}
	return false
}
