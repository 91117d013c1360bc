package catalog

import (
	"fmt"
	"slices"

	"prunellm/internal/variant"
	"prunellm/openapi"
	"prunellm/server"
)

// Variants implements server.Admin. It lists the variants that are loaded, being made, pinned, made by another replica,
// or whose last attempt failed.
func (c *Catalog) Variants() []openapi.AdminVariant {
	c.state.mu.Lock()
	defer c.state.mu.Unlock()
	out := []openapi.AdminVariant{}
	for _, ratio := range c.state.known() {
		out = append(out, c.state.describe(ratio))
	}
	return out
}

// Make implements server.Admin.
func (c *Catalog) Make(ratio float64) (openapi.AdminVariant, error) {
	if _, err := c.maker.open(ratio); err != nil {
		return openapi.AdminVariant{}, err
	}
	c.state.mu.Lock()
	defer c.state.mu.Unlock()
	return c.state.describe(ratio), nil
}

// Pin implements server.Admin.
func (c *Catalog) Pin(name openapi.ModelName, pin bool) (openapi.AdminVariant, error) {
	s := c.state
	s.mu.Lock()
	defer s.mu.Unlock()
	ratio, err := s.administered(name)
	if err != nil {
		return openapi.AdminVariant{}, err
	}
	if pin {
		s.pinned[ratio] = true
	} else {
		delete(s.pinned, ratio)
	}
	return s.describe(ratio), nil
}

// Delete implements server.Admin. Requests that hold the variant keep it until they end. Delete removes its file unless
// another ratio has the same file.
func (c *Catalog) Delete(name openapi.ModelName) error {
	c.state.mu.Lock()
	ratio, err := c.state.administered(name)
	if err == nil {
		err = c.state.checkDelete(ratio)
	}
	if err != nil {
		c.state.mu.Unlock()
		return err
	}
	built, idle := c.state.remove(ratio)
	c.state.mu.Unlock()
	if idle != nil {
		c.evictor.close(idle)
	}
	if built == nil || c.options.Work.Remove == nil {
		return nil
	}
	return c.options.Work.Remove(c.ctx, *built)
}

// administered returns the ratio of a variant's name. It returns an error if Variants does not list the variant.
func (s *state) administered(name openapi.ModelName) (float64, error) {
	ratio := s.model.ratioOf(name)
	if !s.model.named(name.Base) || name.Auto || !slices.Contains(s.known(), ratio) {
		return 0, fmt.Errorf("variant %q: %w; /admin/variants lists the variants", name, server.ErrModelNotFound)
	}
	return ratio, nil
}

// checkDelete returns an error if the variant of a ratio cannot be deleted.
func (s *state) checkDelete(ratio float64) error {
	if ratio == s.model.Startup {
		return &server.ConflictError{Reason: "it is the startup variant"}
	}
	if shelf, ok := s.shelves[ratio]; ok && !shelf.filled() {
		return &server.ConflictError{Reason: "it is being made"}
	}
	return nil
}

// remove forgets a ratio. It returns the variant whose file the caller must remove, or nil if there is none or another
// ratio has the same file. It also returns the engine that the caller must close, or nil if there is none or requests
// still hold it.
func (s *state) remove(ratio float64) (built *variant.Built, idle *engine) {
	delete(s.pinned, ratio)
	s.failures.forget(ratio)
	digest := s.made.digest(ratio)
	s.made.forget(ratio)
	shelf, ok := s.shelves[ratio]
	delete(s.shelves, ratio)
	if !ok || shelf.engine == nil || s.shared(shelf.engine) {
		return nil, nil
	}
	s.made.forgetFile(digest)
	e := shelf.engine
	if s.loaded[e.built.Digest] == e && s.evict(e) {
		idle = e
	}
	return &e.built, idle
}
