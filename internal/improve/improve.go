package improve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"prunellm/internal/catalog"
	"prunellm/internal/variant"
	"prunellm/models"
)

// Maker finds and makes the files of stages, and their figures. Builds is one.
type Maker interface {
	// Find returns the file of a step from stored values alone; an error says that it cannot.
	Find(ctx context.Context, step Step) (variant.Built, error)
	// Make finds or computes the file of a step. waited reports that somebody waits for it. After a training without gain
	// it returns the file that was trained.
	Make(ctx context.Context, step Step, waited bool, progress func(variant.Progress)) (variant.Built, error)
	// FindCard returns the stored figures of a file; an error says that there are none.
	FindCard(ctx context.Context, built variant.Built) (variant.Card, error)
	// Card returns the figures of a file, and measures them if need be. The error wraps variant.ErrNoHeldOut if the text is
	// too short for a held-out part.
	Card(ctx context.Context, built variant.Built) (variant.Card, error)
}

// Catalog has the variant that answers; *catalog.Catalog implements it.
type Catalog interface {
	Serving(ratio float64) (built variant.Built, ok bool)
	// Swap replaces the variant. The error wraps catalog.ErrNotServed if it is not loaded at the time.
	Swap(built variant.Built) error
	// Announce has the catalog say what replaces it next; "": nothing does.
	Announce(next string)
}

// View shows the progress of a stage; *progress.View implements it.
type View interface {
	Show(variant.Progress)
	Close()
}

// Options are the parts of an Improver.
type Options struct {
	Ratio float64 // of the startup variant
	Steps []Step  // of Plan, at least one
	Maker Maker
	View  View
	Log   *slog.Logger
	// Tried counts an attempt at a stage and its outcome.
	Tried func(stage, outcome string)
}

// Outcomes of an attempt at a stage.
const (
	better    = "better" // it answers now
	notBetter = "not_better"
	failed    = "failed"
)

// Improver improves the startup variant. Use New.
type Improver struct {
	Options
	gate gate
}

// New returns an improver.
func New(options Options) *Improver { return &Improver{Options: options} }

// Making reports whether a variant is being made that clients may wait for. It returns at once.
func (i *Improver) Making(making bool) { i.gate.set(making) }

// Build has the form of variant.Builder's, for the one spec that Plan was given. It returns the best stage that the store has,
// or makes the first one. progress may be nil.
func (i *Improver) Build(ctx context.Context, _ variant.Spec, progress func(variant.Progress)) (variant.Built, error) {
	if len(i.Steps) > 1 {
		if best, ok := i.reached(ctx); ok {
			return best, nil
		}
	}
	return i.Maker.Make(ctx, i.Steps[0], true, progress)
}

// reached returns the file that Run would have left, as far as stored values tell.
func (i *Improver) reached(ctx context.Context) (best variant.Built, ok bool) {
	var bestCard *variant.Card
	for _, step := range i.Steps {
		built, err := i.Maker.Find(ctx, step)
		if err != nil {
			continue
		}
		var card *variant.Card
		if found, err := i.Maker.FindCard(ctx, built); err == nil {
			card = &found
		}
		if !ok || bestCard != nil && card != nil && Better(*bestCard, *card) {
			best, bestCard, ok = built, card, true
		}
	}
	return best, ok
}

const loadPause = time.Second // between two looks at a variant that is not loaded

// retryPauses come between attempts at one stage; then Run gives up until the next start.
func retryPauses() []time.Duration { return []time.Duration{time.Minute, 10 * time.Minute} }

// Run waits until the variant answers, then makes the stages after its own, and swaps each in that is better. It returns
// when the last one has been tried, one cannot be made, or ctx ends.
func (i *Improver) Run(ctx context.Context, variants Catalog) error {
	defer variants.Announce("")
	if len(i.Steps) > 1 { // so that what looks as soon as the variant answers knows that more comes
		variants.Announce(i.Steps[1].String())
	}
	answers, err := i.loaded(ctx, variants)
	if err != nil {
		return err
	}
	for _, step := range after(i.Steps, answers.Stage) {
		if err := i.try(ctx, variants, step); err != nil {
			return fmt.Errorf("stage %s of the variant: %w", step.Stage, err)
		}
	}
	return nil
}

// loaded waits until the variant answers.
func (i *Improver) loaded(ctx context.Context, variants Catalog) (variant.Built, error) {
	for {
		if built, ok := variants.Serving(i.Ratio); ok {
			return built, nil
		}
		if err := sleep(ctx, loadPause); err != nil {
			return variant.Built{}, err
		}
	}
}

// try makes a stage and swaps it in if it is better. It tries again after an error.
func (i *Improver) try(ctx context.Context, variants Catalog, step Step) error {
	for pauses := retryPauses(); ; pauses = pauses[1:] {
		variants.Announce(step.String())
		outcome, err := i.attempt(ctx, variants, step)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil {
			i.Tried(step.Stage, outcome)
			return nil
		}
		i.Tried(step.Stage, failed)
		if len(pauses) == 0 || errors.Is(err, models.ErrChanged) {
			return err
		}
		i.Log.Warn("cannot make a better variant; retrying", "stage", step.Stage, "pause", pauses[0].String(), "error", err)
		variants.Announce(fmt.Sprintf("%s: the last attempt failed (%v); the next one begins within %s", step, err, pauses[0]))
		if err := sleep(ctx, pauses[0]); err != nil {
			return err
		}
	}
}

// attempt makes a stage once, compares it with what answers, and swaps it in if it is better.
func (i *Improver) attempt(ctx context.Context, variants Catalog, step Step) (outcome string, err error) {
	var made variant.Built
	err = i.gate.do(ctx, func(ctx context.Context) (err error) {
		defer i.View.Close()
		made, err = i.Maker.Make(ctx, step, false, func(p variant.Progress) {
			i.View.Show(p)
			variants.Announce(step.String() + ": " + p.String())
		})
		return err
	})
	if errors.Is(err, variant.ErrNotRecovered) {
		return notBetter, nil
	}
	if err != nil {
		return "", err
	}
	for {
		answers, err := i.loaded(ctx, variants)
		if err != nil {
			return "", err
		}
		variants.Announce(step.String() + ": comparing with " + answers.Stage + " on held-out text")
		replaces, err := i.replaces(ctx, answers, made)
		if err != nil || !replaces {
			return notBetter, err
		}
		if err = variants.Swap(made); !errors.Is(err, catalog.ErrNotServed) {
			return better, err
		}
		if err := sleep(ctx, loadPause); err != nil {
			return "", err
		}
	}
}

// replaces reports whether a file is better than the one that answers. Without held-out text the training's own figures
// count.
func (i *Improver) replaces(ctx context.Context, answers, made variant.Built) (bool, error) {
	log := i.Log.With("variant", made.Name(), "stage", made.Stage, "answers", answers.Stage)
	if made.Digest == answers.Digest {
		log.Info("stage gained nothing")
		return false, nil
	}
	var cards [2]variant.Card
	for n, built := range []variant.Built{answers, made} {
		err := i.gate.do(ctx, func(ctx context.Context) (err error) {
			cards[n], err = i.Maker.Card(ctx, built)
			return err
		})
		if errors.Is(err, variant.ErrNoHeldOut) {
			log.Warn("stages cannot be compared on held-out text", "trained", made.Recovery != nil, "error", err)
			return made.Recovery != nil, nil
		}
		if err != nil {
			return false, err
		}
	}
	replaces := Better(cards[0], cards[1])
	log.Info("stage compared on held-out text", "better", replaces, "kl_before", cards[0].KLToDense, "kl_after", cards[1].KLToDense,
		"perplexity_before", cards[0].Perplexity, "perplexity_after", cards[1].Perplexity, "eval_tokens", cards[1].Tokens)
	return replaces, nil
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
