package main

import (
	"errors"
	"fmt"

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

// checkImprove returns an error if --improve is not valid or contradicts --recover-minutes.
func (c *serveCommand) checkImprove() error {
	budget, err := improve.ParseBudget(c.Improve)
	if err != nil {
		return fmt.Errorf("--improve: %w", err)
	}
	if budget.On && c.Recover.Minutes > 0 {
		return errors.New("--improve and --recover-minutes both set the length of the training: use only one of them")
	}
	return nil
}

// improver returns the improver, which makes the startup variant and the stages after it.
func (c *serveCommand) improver(env *environment, shop *workshop.Workshop, spec variant.Spec) *improve.Improver {
	budget, _ := improve.ParseBudget(c.Improve) // Validate has checked it
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
