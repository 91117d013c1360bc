package catalog

import (
	"fmt"
	"slices"

	"prunellm/internal/slo"
	"prunellm/openapi"
	"prunellm/server"
)

// choose returns the variant for a request that lets the catalog choose. It returns nil for any other request, or if
// the chosen variant is not loaded; the caller then treats the request as one for a fixed ratio.
func (c *Catalog) choose(name openapi.ModelName) (*server.Variant, error) {
	auto := c.options.Auto
	if name.Auto && !auto.Limits.Set() {
		return nil, fmt.Errorf("model %q: %w; this server has no latency limits to choose by; set them with serve --slo-ttft and --slo-itl", name, server.ErrModelNotFound)
	}
	if !auto.Limits.Set() || name.Explicit || (!name.Auto && !auto.Shed) {
		return nil, nil
	}
	c.state.mu.Lock()
	candidates, clock := c.state.candidates(auto.Ladder), c.state.clock
	c.state.mu.Unlock()
	ratio := c.options.Model.Startup
	if name.Auto {
		if best, ok := slo.Choose(candidates, auto.Limits); ok {
			ratio = best
		}
	}
	if auto.Shed {
		ratio = c.shed(stepsDown(ratio, candidates))
	}
	held := c.hold(ratio)
	if held != nil {
		held.Generator = &watched{Generator: held.Generator, watch: c.watch, clock: clock}
	}
	return held, nil
}

// stepsDown returns the ladder that begins with the usual ratio, followed by the larger ratios of loaded variants in
// ascending order.
func stepsDown(usual float64, loaded []slo.Candidate) []float64 {
	steps := []float64{usual}
	for _, candidate := range loaded {
		if candidate.Ratio > usual {
			steps = append(steps, candidate.Ratio)
		}
	}
	slices.Sort(steps)
	return steps
}

// shed returns the ratio that serves requests at the current load.
func (c *Catalog) shed(steps []float64) float64 {
	now := steps[min(c.watch.level(), len(steps)-1)]
	c.state.mu.Lock()
	busy, at := c.state.load(now), c.state.clock()
	c.state.mu.Unlock()
	level, changed := c.watch.decide(c.options.Auto, len(steps)-1, busy, at)
	if changed {
		c.options.Log.Info("load moved requests to another variant", "level", level, "ratio", steps[level])
	}
	return steps[level]
}
