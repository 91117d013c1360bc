package catalog

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"prunellm/internal/variant"
	"prunellm/openapi"
	"prunellm/server"
)

// maxFailures bounds how many ratios' last failures are remembered.
const maxFailures = 64

// Variants implements server.Admin: all that are loaded, being made, pinned, made by another replica, or failed when
// they were last made.
func (c *Catalog) Variants() []openapi.AdminVariant {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := []openapi.AdminVariant{}
	for ratio := range c.known() {
		out = append(out, c.describe(ratio))
	}
	slices.SortFunc(out, func(a, b openapi.AdminVariant) int { return cmp.Compare(a.Ratio, b.Ratio) })
	return out
}

// known are the ratios that there is something to say about. The caller holds mu.
func (c *Catalog) known() map[float64]bool {
	out := map[float64]bool{c.options.Startup: true}
	for ratio, s := range c.shelves {
		if !isDone(s) || c.usable(s) {
			out[ratio] = true
		}
	}
	for ratio := range c.kept {
		out[ratio] = true
	}
	for ratio := range c.failures {
		out[ratio] = true
	}
	for ratio := range c.offered {
		out[ratio] = true
	}
	return out
}

func isDone(s *shelf) bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// describe tells what there is of a ratio. The caller holds mu.
func (c *Catalog) describe(ratio float64) openapi.AdminVariant {
	v := openapi.AdminVariant{
		ID: variant.Name(c.options.Name, ratio), Object: "variant", Ratio: ratio, State: openapi.StateUnloaded,
		Pinned: c.kept[ratio], Startup: ratio == c.options.Startup,
	}
	s, ok := c.shelves[ratio]
	switch {
	case ok && c.usable(s):
		v.State = openapi.StateLoaded
		v.InUse, v.LastUsedAt, v.Card = s.engine.users, s.engine.used.Unix(), s.engine.card()
	case ok && !isDone(s):
		v.State, v.Progress = openapi.StateMaking, s.progress.String()
	case c.failures[ratio] != "":
		v.State, v.Error = openapi.StateFailed, c.failures[ratio]
	}
	return v
}

// Make implements server.Admin.
func (c *Catalog) Make(ratio float64) (openapi.AdminVariant, error) {
	if _, err := c.shelfOf(ratio); err != nil {
		return openapi.AdminVariant{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.describe(ratio), nil
}

// Pin implements server.Admin.
func (c *Catalog) Pin(name openapi.ModelName, pin bool) (openapi.AdminVariant, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ratio, err := c.administered(name)
	if err != nil {
		return openapi.AdminVariant{}, err
	}
	if pin {
		c.kept[ratio] = true
	} else {
		delete(c.kept, ratio)
	}
	return c.describe(ratio), nil
}

// administered is the ratio of a name that Variants lists. The caller holds mu.
func (c *Catalog) administered(name openapi.ModelName) (float64, error) {
	ratio := c.options.Startup
	if name.Explicit {
		ratio = name.Ratio
	}
	if (name.Base != c.options.Name && name.Base != openapi.AnyModel) || name.Auto || !c.known()[ratio] {
		return 0, fmt.Errorf("variant %q: %w; /admin/variants lists those there are", name, server.ErrModelNotFound)
	}
	return ratio, nil
}

// Delete implements server.Admin: requests that hold the variant keep it to their end, and its file goes as well unless
// another ratio has the same one.
func (c *Catalog) Delete(name openapi.ModelName) error {
	c.mu.Lock()
	ratio, err := c.administered(name)
	if err == nil {
		err = c.deletable(ratio)
	}
	if err != nil {
		c.mu.Unlock()
		return err
	}
	delete(c.kept, ratio)
	delete(c.failures, ratio)
	gone := c.made[ratio]
	delete(c.made, ratio)
	s, ok := c.shelves[ratio]
	delete(c.shelves, ratio)
	if !ok || s.engine == nil || c.shared(s.engine) {
		c.mu.Unlock()
		return nil
	}
	maps.DeleteFunc(c.made, func(_ float64, digest string) bool { return digest == gone })
	e := s.engine
	idle := c.loaded[e.built.Digest] == e && e.users == 0
	if c.loaded[e.built.Digest] == e {
		c.take(e)
	}
	c.mu.Unlock()
	if idle {
		c.close(e)
	}
	if c.options.Remove == nil {
		return nil
	}
	return c.options.Remove(c.ctx, e.built)
}

// deletable refuses what cannot go. The caller holds mu.
func (c *Catalog) deletable(ratio float64) error {
	if ratio == c.options.Startup {
		return &server.ConflictError{Reason: "it is the variant that the server was started with"}
	}
	if s, ok := c.shelves[ratio]; ok && !isDone(s) {
		return &server.ConflictError{Reason: "it is being made"}
	}
	return nil
}

// shared tells whether another shelf has the engine too. The caller holds mu.
func (c *Catalog) shared(e *engine) bool {
	for _, s := range c.shelves {
		if s.engine == e {
			return true
		}
	}
	return false
}

// keeps tells whether a pinned shelf has the engine. The caller holds mu.
func (c *Catalog) keeps(e *engine) bool {
	for ratio := range c.kept {
		if s, ok := c.shelves[ratio]; ok && s.engine == e {
			return true
		}
	}
	return false
}

// noteEnd remembers why a ratio's variant could not be made. The caller holds mu.
func (c *Catalog) noteEnd(ratio float64, err error) {
	delete(c.failures, ratio)
	if ratio == c.options.Startup {
		c.failure = ""
	}
	if err == nil || c.ctx.Err() != nil {
		return
	}
	if ratio == c.options.Startup {
		c.failure = fmt.Sprintf("the last attempt failed (%v)", err)
	}
	for other := range c.failures { // any one but the server's own: clients may ask for as many ratios as they like
		if len(c.failures) < maxFailures {
			break
		}
		if other != c.options.Startup {
			delete(c.failures, other)
		}
	}
	c.failures[ratio] = err.Error()
}

var _ server.Admin = (*Catalog)(nil)
