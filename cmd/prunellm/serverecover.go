package main

import (
	"context"
	"fmt"

	"prunellm/internal/catalog"
	"prunellm/internal/flags"
	"prunellm/internal/progress"
	"prunellm/internal/variant"
	"prunellm/internal/workshop"
)

// backgroundRecovery are the flags of recovery training in the server.
type backgroundRecovery struct {
	Minutes       float64 `help:"Minutes to train the variant of --ratio in the background, while no request runs. If training improves it, the trained variant replaces it. 0: no training." default:"0" placeholder:"M"`
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

// build makes a variant. It makes the startup variant from trained weights if the store has them.
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

// startRecovery trains the startup variant in the background once it is loaded, if --recover-minutes is not 0. The caller
// must call stop, which cancels the training and waits.
func (c *serveCommand) startRecovery(env *environment, shop *workshop.Workshop, spec variant.Spec, variants *catalog.Catalog) (stop func()) {
	if c.Recover.Minutes == 0 || c.Ratio == 0 {
		return func() {}
	}
	ctx, cancel := context.WithCancel(env.ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		err := catalog.Improve(ctx, variants, c.Ratio, func() (variant.Built, bool, error) { return c.train(ctx, env, shop, spec.At(c.Ratio)) })
		if err != nil && ctx.Err() == nil {
			env.log.Warn("recovery training ended with an error: keeping the pruned variant", "error", err)
		}
	}()
	return func() { cancel(); <-done }
}

// train trains a variant; better reports whether training improved it.
func (c *serveCommand) train(ctx context.Context, env *environment, shop *workshop.Workshop, spec variant.Spec) (built variant.Built, better bool, err error) {
	view := progress.New(env.stderr, env.log)
	built, report, err := shop.Builder.Recover(ctx, spec, c.recovery(shop.Builder, spec), shop.Orders, view.Show)
	view.Close()
	if err != nil {
		return built, false, err
	}
	env.log.Info("variant trained", "better", report.Better, "tokens", report.Tokens, "kl_before", report.Before.KL, "kl_after", report.After.KL,
		"perplexity_before", report.Before.Perplexity(), "perplexity_after", report.After.Perplexity(), "stopped", report.Stopped)
	return built, report.Better, nil
}
