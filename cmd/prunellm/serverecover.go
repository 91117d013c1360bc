package main

import (
	"context"
	"errors"
	"fmt"

	"prunellm/internal/catalog"
	"prunellm/internal/flags"
	"prunellm/internal/improve"
	"prunellm/internal/progress"
	"prunellm/internal/variant"
	"prunellm/internal/workshop"
)

// backgroundRecovery are the flags of recovery training in the server.
type backgroundRecovery struct {
	Minutes       float64 `help:"Minutes to train the variant of --ratio in the background, while no request runs. If training improves it, the trained variant replaces it. 0: no training, or that of --improve." default:"0" placeholder:"M"`
	recoveryFlags `embed:"" group:"Training"`
}

// Validate reports every fault at once.
func (b *backgroundRecovery) Validate() error {
	faults := flags.Faults(b.recoveryFlags.Validate())
	if !(b.Minutes >= 0 && b.Minutes <= maxRecoverMinutes) {
		faults = append(faults, fmt.Errorf("--recover-minutes is %v but must be 0 to %d", b.Minutes, maxRecoverMinutes))
	}
	return flags.Join(faults)
}

// checkImprove returns an error if --improve cannot be read, or contradicts --recover-minutes.
func (c *serveCommand) checkImprove() error {
	budget, err := improve.ParseBudget(c.Improve)
	if err != nil {
		return fmt.Errorf("--improve: %w", err)
	}
	if budget.On && c.Recover.Minutes > 0 {
		return errors.New("--improve and --recover-minutes both say how long to train: give one of them")
	}
	return nil
}

// improver returns what makes the startup variant, and better ones after it.
func (c *serveCommand) improver(env *environment, shop *workshop.Workshop, spec variant.Spec) *improve.Improver {
	budget, _ := improve.ParseBudget(c.Improve) // Validate has read it
	minutes := max(c.Recover.Minutes, budget.Training.Minutes())
	recovery := c.Recover.recovery(spec, minutes, 0, shop.Builder.Model.Config().ContextLength)
	unhurried := *shop.Builder
	unhurried.Runner = shop.Orders.Unhurried()
	return improve.New(improve.Options{
		Ratio: c.Ratio, Steps: improve.Plan(spec, budget.On, recovery.Duration), Log: env.log, Tried: shop.Counters.Tried,
		View: progress.New(env.stderr, env.log),
		Maker: improve.Builds{
			Builder: shop.Builder, Unhurried: &unhurried, Trainer: shop.Orders, Recovery: recovery, Text: spec,
			Measure: shop.Orders.Unhurried().Measure,
		},
	})
}

// startImproving improves the startup variant in the background once it is loaded. The caller must call stop, which waits.
func (c *serveCommand) startImproving(env *environment, improver *improve.Improver, variants *catalog.Catalog) (stop func()) {
	if len(improver.Steps) < 2 || c.Ratio == 0 {
		return func() {}
	}
	ctx, cancel := context.WithCancel(env.ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := improver.Run(ctx, variants); err != nil && ctx.Err() == nil {
			env.log.Warn("improving the variant ended with an error: keeping the file that answers", "error", err)
		}
	}()
	return func() { cancel(); <-done }
}
