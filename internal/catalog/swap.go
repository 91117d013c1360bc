package catalog

import (
	"errors"
	"fmt"

	"prunellm/internal/variant"
)

// ErrNotServed tells that the variant to be replaced is not loaded.
var ErrNotServed = errors.New("the variant to replace is not loaded")

// Swap loads another file of a ratio and lets it answer in the place of the one that does. Requests that run keep the
// old one until they end; no request is refused meanwhile. It needs the memory of both for that time. A file that is loaded
// already is left as it is.
func (c *Catalog) Swap(built variant.Built) error {
	select {
	case c.builds <- struct{}{}:
		defer func() { <-c.builds }()
	case <-c.ctx.Done():
		return c.ctx.Err()
	}
	c.mu.Lock()
	_, there := c.loaded[built.Digest]
	c.mu.Unlock()
	if there {
		return nil
	}
	loaded, err := c.options.Load(c.ctx, built)
	if err != nil {
		return fmt.Errorf("load %s: %w", built.Name(), err)
	}
	next := &engine{Engine: loaded, built: built, used: c.clock()}
	old, idle, err := c.exchange(next)
	if err != nil {
		return errors.Join(err, loaded.Close(c.ctx))
	}
	c.options.Log.Info("variant replaced", "variant", built.Name(), "digest", built.Digest)
	if idle {
		c.close(old)
	}
	return nil
}

// exchange puts an engine on the shelf of its ratio, and takes the one before out of the catalog. idle tells that nobody
// uses that one any more; otherwise its last user closes it.
func (c *Catalog) exchange(next *engine) (old *engine, idle bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, ok := c.shelves[next.built.Ratio]
	if c.ctx.Err() != nil || !ok || !c.usable(s) {
		return nil, false, fmt.Errorf("%w: %s", ErrNotServed, next.built.Name())
	}
	old = s.engine
	s.engine = next
	c.loaded[next.built.Digest] = next
	c.learnCost(next)
	next.speed = old.speed // training changes no shape, so it is the same but for noise, until it is measured
	c.learnSpeed(next)
	for _, other := range c.shelves {
		if other.engine == old { // another ratio keeps the same neurons
			return old, false, nil
		}
	}
	c.take(old)
	return old, old.users == 0, nil
}

// count notes that users of an engine, or a measurement, came or went. The caller holds mu.
func (c *Catalog) count(change int) {
	before := c.users > 0
	c.users += change
	if c.options.OnUse != nil && before != (c.users > 0) {
		c.options.OnUse(c.users > 0)
	}
}

// Answers tells whether the variant of a ratio is loaded and well.
func (c *Catalog) Answers(ratio float64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, ok := c.shelves[ratio]
	return ok && c.usable(s)
}
