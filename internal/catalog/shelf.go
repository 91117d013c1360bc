package catalog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"prunellm/internal/variant"
	"prunellm/openapi"
	"prunellm/server"
)

// shelf is the place of one ratio that was asked for. done is closed when engine or err is set; the catalog's mutex
// guards progress.
type shelf struct {
	ratio    float64
	done     chan struct{}
	engine   *engine
	err      error
	progress variant.Progress
}

// engine is a loaded variant. The catalog's mutex guards what changes.
type engine struct {
	Engine
	built   variant.Built
	users   int            // requests that hold it
	used    time.Time      // when the last one came or left
	retired bool           // out of the catalog; to be closed when the last user leaves
	cost    *variant.Card  // what pruning cost; nil while that is not known
	speed   *variant.Speed // what it won; nil while that is not known

	stopMeasuring context.CancelFunc // ends a measurement of speed that runs; nil: none does
}

// pinned is an engine in the hands of one request.
type pinned struct {
	*engine
	catalog *Catalog
	once    sync.Once
}

// Name implements server.Variant.
func (p *pinned) Name() string { return p.built.Name() }

// Release implements server.Variant.
func (p *pinned) Release() {
	p.once.Do(func() {
		c := p.catalog
		c.mu.Lock()
		p.users--
		c.count(-1)
		p.used = c.clock()
		last := p.retired && p.users == 0
		c.mu.Unlock()
		if last {
			c.close(p.engine)
		}
	})
}

var _ server.Variant = (*pinned)(nil)

// retryBusy is what a client is told when no further variant can be made or loaded at present.
const retryBusy = 10 * time.Second

// Acquire implements server.Models.
func (c *Catalog) Acquire(ctx context.Context, name openapi.ModelName) (server.Variant, error) {
	if name.Base != "" && name.Base != c.options.Name && name.Base != openapi.AnyModel {
		return nil, fmt.Errorf("model %q: %w; this server has %q", name.Base, server.ErrModelNotFound, c.options.Name)
	}
	ratio := c.options.Startup
	if name.Explicit {
		ratio = name.Ratio
	}
	if held, err := c.chosen(name); held != nil || err != nil {
		return held, err
	}
	if held := c.ready(ratio); held != nil {
		return held, nil
	}
	if ratio == c.options.Startup {
		c.replaceLost()
		if c.options.ServeDense && !name.Explicit {
			if held := c.ready(0); held != nil {
				return held, nil
			}
		}
		if c.options.ServeDense && name.Explicit {
			return c.acquire(ctx, ratio) // who insists on a ratio waits for it, as for any other
		}
		status := c.Status()
		return nil, &server.NotReadyError{RetryAfter: status.RetryAfter, Progress: status.Progress}
	}
	return c.acquire(ctx, ratio)
}

// replaceLost has the startup variant loaded again when its engine has failed.
func (c *Catalog) replaceLost() {
	c.mu.Lock()
	s, ok := c.shelves[c.options.Startup]
	lost := ok && isDone(s) && s.err == nil && !c.usable(s)
	c.mu.Unlock()
	if !lost {
		return
	}
	if _, err := c.shelfOf(c.options.Startup); err != nil {
		c.options.Log.Warn("failed engine not replaced", "ratio", c.options.Startup, "error", err)
	}
}

// ready pins the engine of a ratio if it is loaded and well.
func (c *Catalog) ready(ratio float64) server.Variant {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, ok := c.shelves[ratio]
	if !ok || !c.usable(s) {
		return nil
	}
	return c.pin(s.engine)
}

// usable tells whether a shelf has an engine that can answer. The caller holds mu.
func (c *Catalog) usable(s *shelf) bool {
	if s.engine == nil {
		return false
	}
	select {
	case <-s.engine.Done():
		return false
	default:
		return c.loaded[s.engine.built.Digest] == s.engine
	}
}

// pin counts a user. The caller holds mu.
func (c *Catalog) pin(e *engine) server.Variant {
	c.comings++
	e.users++
	c.count(1)
	e.used = c.clock()
	return &pinned{engine: e, catalog: c}
}

// acquire waits for the ratio's engine, and has it made if nobody has asked for that yet.
func (c *Catalog) acquire(ctx context.Context, ratio float64) (server.Variant, error) {
	for {
		s, err := c.shelfOf(ratio)
		if err != nil {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-s.done:
		}
		if s.err != nil {
			return nil, s.err
		}
		if held := c.ready(ratio); held != nil {
			return held, nil
		}
	}
}

// shelfOf finds the shelf of a ratio, and starts filling a new one where there is none or its engine is gone.
func (c *Catalog) shelfOf(ratio float64) (*shelf, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx.Err() != nil {
		return nil, errors.New("catalog is closed")
	}
	s, ok := c.shelves[ratio]
	if ok {
		select {
		case <-s.done:
			if s.err == nil && c.usable(s) {
				return s, nil
			}
		default:
			return s, nil
		}
	}
	if err := c.mayMake(ratio); err != nil {
		return nil, err
	}
	if c.waiting > c.options.MaxWaiting {
		return nil, &server.NotReadyError{RetryAfter: retryBusy, Progress: "too many variants are being made"}
	}
	s = &shelf{ratio: ratio, done: make(chan struct{})}
	c.shelves[ratio] = s
	c.waiting++
	c.comings++
	c.work.Add(1)
	go c.fill(s)
	return s, nil
}

// fill makes and loads a shelf's variant. It ends the wait of everybody at the shelf, whatever happens.
func (c *Catalog) fill(s *shelf) {
	defer c.work.Done()
	e, err := c.make(s)
	c.mu.Lock()
	defer c.mu.Unlock()
	s.engine, s.err = e, err
	c.waiting--
	c.noteEnd(s.ratio, err)
	if err != nil {
		delete(c.shelves, s.ratio) // the next request tries again
	}
	close(s.done)
}

// make builds, makes room and loads, one variant at a time.
func (c *Catalog) make(s *shelf) (*engine, error) {
	select {
	case c.builds <- struct{}{}:
		defer func() { <-c.builds }()
	case <-c.ctx.Done():
		return nil, c.ctx.Err()
	}
	if err := c.mayLoad(s.ratio); err != nil {
		c.trim()
		return nil, err
	}
	built, err := c.options.Build(c.ctx, s.ratio, func(p variant.Progress) { c.report(s, p) })
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	c.made[s.ratio] = built.Digest
	e, ok := c.loaded[built.Digest]
	c.mu.Unlock()
	if ok {
		select {
		case <-e.Done(): // it failed; load it anew
		default:
			return e, nil
		}
	}
	if err := c.makeRoom(built); err != nil {
		return nil, err
	}
	c.report(s, variant.Progress{Stage: variant.StageLoading})
	loaded, err := c.load(built)
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", built.Name(), err)
	}
	e = &engine{Engine: loaded, built: built, used: c.clock()}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.loaded[built.Digest] = e
	c.options.Log.Info("variant loaded", "variant", built.Name(), "ratio_reached", built.Reached,
		"bytes", built.Bytes, "digest", built.Digest)
	c.learnSpeed(e)
	c.learnCost(e)
	return e, nil
}

func (c *Catalog) report(s *shelf, p variant.Progress) {
	c.mu.Lock()
	s.progress = p
	c.mu.Unlock()
	if c.options.Progress != nil {
		c.options.Progress(p)
	}
}

// close frees an engine that nobody can reach any more.
func (c *Catalog) close(e *engine) {
	if err := e.Close(c.ctx); err != nil {
		c.options.Log.Warn("variant not closed cleanly", "variant", e.built.Name(), "error", err)
	}
	c.options.Log.Info("variant unloaded", "variant", e.built.Name())
}

// Status implements server.Models.
func (c *Catalog) Status() server.Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s, ok := c.shelves[c.options.Startup]; ok && c.usable(s) {
		return server.Status{Ready: true}
	}
	status := server.Status{Progress: cmp.Or(c.failure, "starting"), RetryAfter: server.DefaultRetryAfter}
	if s, ok := c.shelves[0]; ok && c.options.ServeDense {
		status.Ready = c.usable(s)
	}
	if s, ok := c.shelves[c.options.Startup]; ok {
		if p := s.progress; p.Stage != "" {
			status.Progress = p.String()
			status.RetryAfter = min(max(p.Remaining().Round(time.Second), time.Second), time.Minute)
		}
	}
	return status
}

// List implements server.Models: the server's own name first, then what is loaded or offered and the
// dense model.
func (c *Catalog) List() []openapi.Model {
	c.mu.Lock()
	defer c.mu.Unlock()
	entry := func(id string, e *engine) openapi.Model {
		m := openapi.Model{ID: id, Object: "model", Created: c.created.Unix(), OwnedBy: "prunellm"}
		if e != nil {
			m.Card = e.card()
			m.Card.MaxRatio = c.options.Largest
		}
		return m
	}
	var startup *engine
	if s, ok := c.shelves[c.options.Startup]; ok && c.usable(s) {
		startup = s.engine
	}
	models := []openapi.Model{entry(c.options.Name, startup)}
	named := map[string]*engine{variant.Name(c.options.Name, c.options.Startup): startup, variant.Name(c.options.Name, 0): nil}
	for ratio := range c.offered {
		named[variant.Name(c.options.Name, ratio)] = nil
	}
	for _, e := range c.loaded {
		named[e.built.Name()] = e
	}
	for _, id := range slices.Sorted(maps.Keys(named)) {
		models = append(models, entry(id, named[id]))
	}
	return models
}

// card describes a loaded variant. The caller holds mu.
func (e *engine) card() *openapi.Card {
	card := &openapi.Card{
		Ratio: e.built.Ratio, RatioReached: e.built.Reached, KeptMLP: e.built.KeptMLP,
		Parameters: e.built.Parameters, Bytes: e.built.Bytes, ContextTokens: e.ContextSize(), Digest: e.built.Digest,
	}
	if speed := e.speed; speed != nil {
		card.TTFT, card.ITL, card.OutputTokensPerSec = &speed.TTFTMillis, &speed.ITLMillis, &speed.OutputTokensPerSecond
	}
	if e.cost != nil {
		cost, ratio := *e.cost, e.cost.Ratio()
		card.Perplexity, card.PerplexityRatio = &cost.Perplexity, &ratio
		card.KLToDense, card.Top1Agreement, card.EvalTokens = &cost.KLToDense, &cost.Top1Agreement, cost.Tokens
	}
	if r := e.built.Recovery; r != nil {
		card.Recovery = &openapi.CardRecovery{
			Tokens: r.Tokens, Seconds: r.Elapsed.Seconds(), KLBefore: r.Before.KL, KLAfter: r.After.KL,
			PerplexityBefore: r.Before.Perplexity(), PerplexityAfter: r.After.Perplexity(),
		}
	}
	return card
}
