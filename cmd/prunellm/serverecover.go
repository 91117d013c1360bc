package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"prunellm/internal/catalog"
	"prunellm/internal/progress"
	"prunellm/internal/variant"
	"prunellm/internal/workshop"
)

// backgroundRecovery has the server train its startup variant.
type backgroundRecovery struct {
	Minutes       float64 `help:"Minutes to train the startup variant in the background, at low priority and while no request runs. A better variant replaces it. 0: no training." default:"0" placeholder:"M"`
	recoveryFlags `embed:"" group:"Training"`
}

// Validate reports every fault at once.
func (b *backgroundRecovery) Validate() error {
	faults := nonNil(b.recoveryFlags.Validate())
	if !(b.Minutes >= 0 && b.Minutes <= maxRecoverMinutes) {
		faults = append(faults, fmt.Errorf("--recover-minutes is %v, want 0 to %d", b.Minutes, maxRecoverMinutes))
	}
	return joinFaults(faults)
}

// swapPause is the time between two attempts to let a trained variant answer, while the one before is still being loaded.
const swapPause = time.Second

// build makes a variant; the startup variant is the trained one where that is stored already.
func (c *serveCommand) build(ctx context.Context, builder *variant.Builder, spec variant.Spec, progress func(variant.Progress)) (variant.Built, error) {
	if c.Recover.Minutes > 0 && spec.Ratio == c.Ratio && spec.Ratio > 0 {
		built, _, err := builder.FindRecovered(ctx, spec, c.recovery(builder, spec), progress)
		if err == nil {
			return built, nil
		}
	}
	return builder.Build(ctx, spec, progress)
}

func (c *serveCommand) recovery(builder *variant.Builder, spec variant.Spec) variant.Recovery {
	return c.Recover.recovery(spec, c.Recover.Minutes, 0, builder.Model.Config().ContextLength)
}

// startRecovery trains the startup variant in the background once it answers, if that is asked for. The function that is
// returned ends it.
func (c *serveCommand) startRecovery(env *environment, shop *workshop.Workshop, spec variant.Spec, variants *catalog.Catalog) (stop func()) {
	if c.Recover.Minutes == 0 || c.Ratio == 0 {
		return func() {}
	}
	ctx, cancel := context.WithCancel(env.ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		err := c.recoverVariant(ctx, env, shop, spec.At(c.Ratio), variants)
		if err != nil && ctx.Err() == nil {
			env.log.Warn("variant not recovered, it answers as it was pruned", "error", err)
		}
	}()
	return func() { cancel(); <-done }
}

// recoverVariant waits for the startup variant, trains it, and lets it answer when it has become better.
func (c *serveCommand) recoverVariant(ctx context.Context, env *environment, shop *workshop.Workshop, spec variant.Spec, variants *catalog.Catalog) error {
	for !variants.Answers(c.Ratio) {
		if err := sleep(ctx, swapPause); err != nil {
			return err
		}
	}
	view := progress.New(env.stderr, env.log)
	built, report, err := shop.Builder.Recover(ctx, spec, c.recovery(shop.Builder, spec), shop.Orders, view.Show)
	view.Close()
	if err != nil {
		return err
	}
	env.log.Info("variant trained", "better", report.Better, "tokens", report.Tokens, "kl_before", report.Before.KL, "kl_after", report.After.KL,
		"perplexity_before", report.Before.Perplexity(), "perplexity_after", report.After.Perplexity(), "stopped", report.Stopped)
	if !report.Better {
		return nil
	}
	for {
		err := variants.Swap(built)
		if !errors.Is(err, catalog.ErrNotServed) {
			return err
		}
		if err := sleep(ctx, swapPause); err != nil {
			return err
		}
	}
}

// sleep waits unless ctx ends first.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
