package catalog

import (
	"context"
	"errors"

	"prunellm/internal/variant"
)

// learnCost finds out in the background what pruning cost a loaded variant, so that its card can tell. A closing catalog
// ends the wait.
func (c *Catalog) learnCost(e *engine) {
	if c.options.Measure == nil {
		return
	}
	c.work.Go(func() {
		select {
		case c.measure <- struct{}{}:
			defer func() { <-c.measure }()
		case <-c.ctx.Done():
			return
		}
		cost, err := c.options.Measure(c.ctx, e.built)
		switch {
		case err == nil:
		case errors.Is(err, context.Canceled):
			return
		case errors.Is(err, variant.ErrNoHeldOut):
			c.options.Log.Debug("cost of pruning not measured", "variant", e.built.Name(), "error", err)
			return
		default:
			c.options.Log.Warn("cost of pruning not measured", "variant", e.built.Name(), "error", err)
			return
		}
		c.mu.Lock()
		e.cost = &cost
		c.mu.Unlock()
		c.options.Log.Info("variant measured on held-out text", "variant", e.built.Name(), "perplexity", cost.Perplexity,
			"perplexity_ratio", cost.Ratio(), "kl_to_dense", cost.KLToDense, "top1_agreement", cost.Top1Agreement,
			"eval_tokens", cost.Tokens)
	})
}
