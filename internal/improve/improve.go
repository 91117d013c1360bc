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

// Maker makes the files of stages and measures them. Builds implements it.
type Maker interface {
	// Find returns the file of a step if stored values suffice for it, else an error. It computes nothing.
	Find(ctx context.Context, step Step) (variant.Built, error)
	// Make finds or computes the file of a step. waited says whether somebody waits for it. If the training gains nothing,
	// Make returns the file before the training. progress may be nil.
	Make(ctx context.Context, step Step, waited bool, progress func(variant.Progress)) (variant.Built, error)
	// FindCard returns the stored figures of a file, or an error if there are none.
	FindCard(ctx context.Context, built variant.Built) (variant.Card, error)
	// Card finds or measures the figures of a file. The error wraps variant.ErrNoHeldOut if the text is too short for a
	// held-out part.
	Card(ctx context.Context, built variant.Built) (variant.Card, error)
}

// Catalog holds the variant that answers. *catalog.Catalog implements it.
type Catalog interface {
	// Serving returns the file that answers for a ratio. ok is false if none does.
	Serving(ratio float64) (built variant.Built, ok bool)
	// Swap replaces the file that answers. The error wraps catalog.ErrNotServed if none answers at the time.
	Swap(built variant.Built) error
	// Announce tells users which file replaces the one that answers. "" means none.
	Announce(next string)
}

// View shows the progress of a stage; *progress.View implements it.
type View interface {
	Show(variant.Progress)
	Close()
}

// Options are the parts of an Improver.
type Options struct {
	Ratio float64 // the startup variant's
	Steps []Step  // from Plan, at least one
	Maker Maker
	View  View
	Log   *slog.Logger
	// Tried counts attempts at a stage. New calls it with 0 attempts for each outcome that a later stage may have.
	Tried func(stage, outcome string, attempts int)
}

// Outcomes of an attempt at a stage.
const (
	better    = "better" // the stage answers now
	notBetter = "not_better"
	failed    = "failed"
)

// Improver makes and improves the startup variant. Use New.
type Improver struct {
	Options
	gate gate
}

// New returns an improver.
func New(options Options) *Improver {
	for _, step := range options.Steps[min(1, len(options.Steps)):] {
		for _, outcome := range []string{better, notBetter, failed} {
			options.Tried(step.Stage, outcome, 0)
		}
	}
	return &Improver{Options: options}
}

// Making tells the improver whether the catalog makes a variant that clients may wait for. It returns at once.
func (i *Improver) Making(making bool) { i.gate.set(making) }

// Build returns the best stage in the store, or makes the first one. It has the signature of variant.Builder.Build but ignores
// the spec: the steps have their own. progress may be nil.
func (i *Improver) Build(ctx context.Context, _ variant.Spec, progress func(variant.Progress)) (variant.Built, error) {
	if len(i.Steps) > 1 {
		if best, ok := i.reached(ctx); ok {
			return best, nil
		}
	}
	return i.Maker.Make(ctx, i.Steps[0], true, progress)
}

// reached returns the file that Run would leave if it stopped now, according to the stored values. ok is false if the store
// has no file.
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

// loadPause is the pause between two checks whether the variant is loaded.
const loadPause = time.Second

// retryPauses returns the pauses between the attempts at one stage. After the last attempt Run returns.
func retryPauses() []time.Duration { return []time.Duration{time.Minute, 10 * time.Minute} }

// Start runs Run in the background. The caller must call stop, which ends it and waits.
func (i *Improver) Start(ctx context.Context, variants Catalog) (stop func()) {
	if len(i.Steps) < 2 {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := i.Run(ctx, variants); err != nil && ctx.Err() == nil {
			i.Log.Warn("improving the variant ended with an error: keeping the file that answers", "error", err)
		}
	}()
	return func() { cancel(); <-done }
}

// Run waits until the variant answers. Then it makes the later stages, and swaps in each one that is better. It returns after
// the last stage, if a stage cannot be made, or when ctx ends.
func (i *Improver) Run(ctx context.Context, variants Catalog) error {
	defer variants.Announce("")
	if len(i.Steps) > 1 { // a client that polls must not see an end between the first stage and the second
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

// loaded waits until the variant answers and returns its file.
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

// try makes a stage and swaps it in if it is better. It retries after errors.
func (i *Improver) try(ctx context.Context, variants Catalog, step Step) error {
	for pauses := retryPauses(); ; pauses = pauses[1:] {
		variants.Announce(step.String())
		outcome, err := i.attempt(ctx, variants, step)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil {
			i.Tried(step.Stage, outcome, 1)
			return nil
		}
		i.Tried(step.Stage, failed, 1)
		if len(pauses) == 0 || errors.Is(err, models.ErrChanged) {
			return err
		}
		i.Log.Warn("cannot make the next stage of the variant; retrying", "stage", step.Stage, "pause", pauses[0].String(), "error", err)
		variants.Announce(fmt.Sprintf("%s: the last attempt failed (%v); the next one begins within %s", step, err, pauses[0]))
		if err := sleep(ctx, pauses[0]); err != nil {
			return err
		}
	}
}

// attempt makes a stage once, compares it with the file that answers, and swaps it in if it is better.
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
		replaces, err := i.replaces(ctx, step, answers, made)
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

// replaces reports whether a file is better than the one that answers. Without held-out text it relies on the training's own
// figures.
func (i *Improver) replaces(ctx context.Context, step Step, answers, made variant.Built) (bool, error) {
	log := i.Log.With("variant", made.Name(), "stage", step.Stage, "answers", answers.Stage)
	if made.Digest == answers.Digest {
		log.Info("stage gains nothing")
		return false, nil
	}
	var cards [2]variant.Card
	for n, built := range []variant.Built{answers, made} {
		err := i.gate.do(ctx, func(ctx context.Context) (err error) {
			cards[n], err = i.Maker.Card(ctx, built)
			return err
		})
		if errors.Is(err, variant.ErrNoHeldOut) {
			log.Warn("cannot compare the stages on held-out text", "trained", made.Recovery != nil, "error", err)
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

// sleep waits for d. It returns an error if ctx ends first.
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
