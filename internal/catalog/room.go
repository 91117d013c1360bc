package catalog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"prunellm/internal/variant"
	"prunellm/server"
)

// makeRoom retires engines until one more fits: first the one that is to be replaced because it failed, then the one
// whose last use is longest ago. Those in use or pinned stay, and so does the startup variant.
func (c *Catalog) makeRoom(built variant.Built) error {
	for {
		victim, idle, full := c.retire(built)
		switch {
		case !full:
			return nil
		case victim == nil:
			return &server.NotReadyError{RetryAfter: retryBusy, Progress: "all loaded variants are in use or pinned"}
		case idle: // nobody can come to a retired engine any more; otherwise the last user closes it
			c.close(victim)
		}
	}
}

// retire takes an engine out of the catalog so that another one fits; nil if none may go.
func (c *Catalog) retire(built variant.Built) (victim *engine, idle, full bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if dead, ok := c.loaded[built.Digest]; ok {
		victim = dead
	} else {
		if c.fits(built) {
			return nil, false, false
		}
		victim = c.leastRecent()
	}
	if victim != nil {
		c.take(victim)
		idle = victim.users == 0
	}
	return victim, idle, true
}

// take removes an engine from the catalog; its last user closes it. The caller holds mu.
func (c *Catalog) take(e *engine) {
	e.retired = true
	if e.stopMeasuring != nil {
		e.stopMeasuring()
	}
	delete(c.loaded, e.built.Digest)
}

// fits tells whether one more engine may be loaded. The dense model that answers for the startup variant does not
// count, and nothing is too large to be the only one. The caller holds mu.
func (c *Catalog) fits(built variant.Built) bool {
	count, bytes := 0, c.memory(built)
	for _, e := range c.loaded {
		if !c.standsIn(e) {
			count++
			bytes += c.memory(e.built)
		}
	}
	return count == 0 || count < max(1, c.options.MaxLoaded) && (c.options.MemoryBudget <= 0 || bytes <= c.options.MemoryBudget)
}

func (c *Catalog) memory(built variant.Built) int64 {
	if c.options.Memory == nil {
		return 0
	}
	return c.options.Memory(built)
}

// standsIn tells whether an engine is the dense model, and answers for a startup variant that is not there yet. The caller
// holds mu.
func (c *Catalog) standsIn(e *engine) bool {
	if !c.options.ServeDense || c.options.Startup == 0 {
		return false
	}
	dense, ok := c.shelves[0]
	startup, there := c.shelves[c.options.Startup]
	return ok && dense.engine == e && (!there || !c.usable(startup))
}

// mayGo tells whether an engine can be unloaded without anybody missing it now. The caller holds mu.
func (c *Catalog) mayGo(e *engine) bool {
	if s, ok := c.shelves[c.options.Startup]; ok && s.engine == e {
		return false
	}
	return e.users == 0 && !c.keeps(e) && !c.standsIn(e)
}

// leastRecent is the engine that may go whose last use is longest ago. The caller holds mu.
func (c *Catalog) leastRecent() (victim *engine) {
	for _, e := range c.loaded {
		if c.mayGo(e) && (victim == nil || e.used.Before(victim.used)) {
			victim = e
		}
	}
	return victim
}

// unloadIdle looks for engines that nobody has used for long until ctx or the catalog ends.
func (c *Catalog) unloadIdle(ctx context.Context) {
	ticker := time.NewTicker(min(max(c.options.IdleTimeout/4, time.Second), time.Minute))
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.ctx.Done():
			return
		case <-ticker.C:
			c.sweep()
		}
	}
}

// sweep unloads what has been idle for too long.
func (c *Catalog) sweep() {
	c.mu.Lock()
	var idle []*engine
	for _, e := range c.loaded {
		if c.mayGo(e) && c.clock().Sub(e.used) >= c.options.IdleTimeout {
			c.take(e)
			idle = append(idle, e)
		}
	}
	c.mu.Unlock()
	for _, e := range idle {
		c.close(e)
	}
}

// load opens a variant. When the machine lacks the memory, engines that may go make room, one after another.
func (c *Catalog) load(built variant.Built) (Engine, error) {
	for {
		loaded, err := c.options.Load(c.ctx, built)
		var short interface{ OutOfMemory() bool }
		if err == nil || !errors.As(err, &short) || !short.OutOfMemory() {
			return loaded, err
		}
		if !c.unload(func() bool { return true }) {
			return nil, err
		}
	}
}

// unload ends the engine that may go whose last use is longest ago, if wanted, which holds mu, says so; it tells whether there was one.
func (c *Catalog) unload(wanted func() bool) bool {
	c.mu.Lock()
	var victim *engine
	if wanted() {
		victim = c.leastRecent()
	}
	if victim != nil {
		c.take(victim)
	}
	c.mu.Unlock()
	if victim != nil {
		c.close(victim)
	}
	return victim != nil
}

// mayLoad refuses a ratio that can never have a place, before anything is computed for it: all places belong to the startup variant and to those
// that are kept.
func (c *Catalog) mayLoad(ratio float64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	most := max(1, c.options.MaxLoaded)
	startup, there := c.shelves[c.options.Startup]
	if standsIn := ratio == 0 && c.options.ServeDense && (!there || !c.usable(startup)); standsIn {
		return nil
	}
	places := map[string]bool{} // by file, or by ratio where none is known
	place := func(ratio float64) string { return cmp.Or(c.made[ratio], variant.Name(c.options.Name, ratio)) }
	if there {
		places[place(c.options.Startup)] = true
	}
	for kept := range c.kept {
		places[place(kept)] = true
	}
	if len(places) < most || places[place(ratio)] {
		return nil
	}
	return &server.NotReadyError{RetryAfter: retryFull, Progress: fmt.Sprintf(
		"all places for loaded variants (%d) are taken by the server's own and those that an administrator or 'auto' keeps", most)}
}

// trim unloads what is loaded beyond the number that may be: the dense model, once it answers for the startup variant no more.
func (c *Catalog) trim() {
	for c.unload(func() bool { return len(c.loaded) > max(1, c.options.MaxLoaded) }) {
	}
}

// mayMake refuses a variant beyond the number that this process makes in all. The caller holds mu.
func (c *Catalog) mayMake(ratio float64) error {
	if _, known := c.made[ratio]; c.options.MaxMade <= 0 || known || ratio == 0 || ratio == c.options.Startup {
		return nil
	}
	digests := map[string]bool{}
	for r, digest := range c.made {
		if r != 0 && r != c.options.Startup {
			digests[digest] = true
		}
	}
	if len(digests) < c.options.MaxMade {
		return nil
	}
	return &server.NotReadyError{RetryAfter: retryFull, Progress: fmt.Sprintf("this server makes at most %d variants beside its own, and has", c.options.MaxMade)}
}

// retryFull is when a client that asked for one variant too many may find that one was deleted.
const retryFull = time.Hour
