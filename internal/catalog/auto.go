package catalog

import (
	"context"
	"fmt"
	"slices"
	"time"

	"prunellm/internal/slo"
	"prunellm/openapi"
	"prunellm/server"
)

// Auto says how the catalog chooses a ratio by itself.
type Auto struct {
	Limits slo.Limits // none: "name@auto" is refused
	Ladder []float64  // the ratios to choose from; they are loaded after the startup variant, and stay
	// Shed lets a smaller variant of the ladder answer under load, for "name@auto" and for names without a ratio.
	Shed   bool
	Policy slo.Policy
}

// loadLadder loads all of the ladder and keeps it. A ratio that cannot be made is left out: the log has the reason.
func (c *Catalog) loadLadder(ctx context.Context) {
	if !c.options.Auto.Limits.Set() {
		return
	}
	for _, ratio := range c.options.Auto.Ladder {
		c.mu.Lock()
		c.kept[ratio] = true
		c.mu.Unlock()
		held, err := c.acquire(ctx, ratio)
		if err != nil {
			if ctx.Err() == nil {
				c.options.Log.Warn("variant is left out of what auto chooses from", "ratio", ratio, "error", err)
			}
			continue
		}
		held.Release()
	}
}

// chosen pins the variant for a request that leaves the choice to the catalog: nil when the request does not, or when the
// choice falls on what is not loaded, and the usual way is to be gone.
func (c *Catalog) chosen(name openapi.ModelName) (server.Variant, error) {
	auto := c.options.Auto
	if name.Auto && !auto.Limits.Set() {
		return nil, fmt.Errorf("model %q: %w; this server has no limits to choose by (serve --slo-ttft, --slo-itl)", name, server.ErrModelNotFound)
	}
	if !auto.Limits.Set() || name.Explicit || (!name.Auto && !auto.Shed) {
		return nil, nil
	}
	ratio := c.options.Startup
	if name.Auto {
		if best, ok := slo.Choose(c.candidates(), auto.Limits); ok {
			ratio = best
		}
	}
	if auto.Shed {
		ratio = c.shed(ratio)
	}
	held := c.ready(ratio)
	if held == nil {
		return nil, nil
	}
	return &watched{Variant: held, watch: &c.watch, clock: c.clock}, nil
}

// candidates are the loaded variants of the ladder with what is known of their speed.
func (c *Catalog) candidates() (out []slo.Candidate) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, ratio := range c.options.Auto.Ladder {
		s, ok := c.shelves[ratio]
		if !ok || !c.usable(s) {
			continue
		}
		candidate := slo.Candidate{Ratio: ratio}
		if speed := s.engine.speed; speed != nil {
			candidate.TTFT, candidate.ITL, candidate.Measured = speed.TTFT(), speed.ITL(), true
		}
		out = append(out, candidate)
	}
	return out
}

// shed is the ratio that answers for the usual one at the present load: as many steps down the ladder as its state says,
// among those that are loaded.
func (c *Catalog) shed(usual float64) float64 {
	below := c.below(usual)
	ladder := append([]float64{usual}, below...)
	busy := c.loadOf(ladder[min(c.watch.level(), len(below))])
	level, changed := c.watch.decide(c.options.Auto, len(below), busy, c.clock())
	ratio := usual
	if level > 0 {
		ratio = below[level-1]
	}
	if changed {
		c.options.Log.Info("load moved requests to another variant", "level", level, "ratio", ratio)
	}
	return ratio
}

// loadOf is how busy a ratio's engine is; nothing when it is not loaded.
func (c *Catalog) loadOf(ratio float64) load {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, ok := c.shelves[ratio]
	if !ok || !c.usable(s) {
		return load{}
	}
	stats := s.engine.Stats()
	return load{running: stats.Running, queued: stats.Queued, sequences: s.engine.Info().Sequences}
}

// below are the loaded ratios of the ladder beyond a ratio, in order.
func (c *Catalog) below(ratio float64) (out []float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.options.Auto.Ladder {
		if s, ok := c.shelves[r]; ok && r > ratio && c.usable(s) {
			out = append(out, r)
		}
	}
	slices.Sort(out)
	return out
}

// autoClock is how often a decision is worth taking anew.
const autoClock = 50 * time.Millisecond
