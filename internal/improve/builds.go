package improve

import (
	"context"
	"fmt"

	"prunellm/internal/store"
	"prunellm/internal/variant"
)

// Builds is a Maker that uses builders of one model.
type Builds struct {
	Builder   *variant.Builder // for files that somebody waits for
	Unhurried *variant.Builder // for other files
	Trainer   variant.Trainer
	Recovery  variant.Recovery // settings of the training
	Text      variant.Spec     // files are compared on the held-out text of this spec
	Measure   func(context.Context, variant.Comparison) (variant.Card, error)
}

// Find implements Maker.
func (b Builds) Find(ctx context.Context, step Step) (variant.Built, error) {
	if !step.Trains {
		built, err := b.Builder.Find(ctx, step.Spec)
		built.Stage = step.Stage
		return built, err
	}
	built, report, err := b.Builder.FindRecovered(ctx, step.Spec, b.Recovery, nil)
	if err == nil && !report.Better {
		return variant.Built{}, fmt.Errorf("the training gained nothing: %w", store.ErrNotFound)
	}
	return built, err
}

// Make implements Maker.
func (b Builds) Make(ctx context.Context, step Step, waited bool, progress func(variant.Progress)) (built variant.Built, err error) {
	builder := b.Unhurried
	if waited {
		builder = b.Builder
	}
	if step.Trains {
		built, _, err = builder.Recover(ctx, step.Spec, b.Recovery, b.Trainer, progress)
		return built, err
	}
	built, err = builder.Build(ctx, step.Spec, progress)
	built.Stage = step.Stage
	return built, err
}

// FindCard implements Maker.
func (b Builds) FindCard(ctx context.Context, built variant.Built) (variant.Card, error) {
	return b.Builder.FindCard(ctx, b.Text, built)
}

// Card implements Maker.
func (b Builds) Card(ctx context.Context, built variant.Built) (variant.Card, error) {
	return b.Builder.Card(ctx, b.Text, built, b.Measure)
}
