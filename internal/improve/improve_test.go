package improve

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"prunellm/internal/catalog"
	"prunellm/internal/store"
	"prunellm/internal/variant"
	"prunellm/models"
)

// fakeMaker makes files at once. It is the store too: what it has made outlives an Improver.
type fakeMaker struct {
	kl       map[string]float64 // of each stage's file, by stage
	at       func(event string) // called before each action; it may end a context
	fail     func(event string) error
	noText   bool            // there is no held-out text
	gainless bool            // the training gains nothing
	made     map[string]bool // stages
	measured map[string]bool // digests
	computed []string        // stages, in order
}

func newMaker() *fakeMaker {
	return &fakeMaker{
		kl: map[string]float64{variant.Quick: 0.9, variant.Refined: 0.6, variant.Healed: 0.4}, at: func(string) {},
		fail: func(string) error { return nil }, made: map[string]bool{}, measured: map[string]bool{},
	}
}

func (m *fakeMaker) file(step Step) variant.Built {
	stage := step.Stage
	if step.Trains && m.gainless {
		stage = variant.Refined
	}
	built := variant.Built{Model: "m", Ratio: 0.2, Stage: stage, Digest: "file-" + stage}
	if stage == variant.Healed {
		built.Recovery = &variant.RecoveryReport{Better: true}
	}
	return built
}

// do is an action that a context, the test or a failure may end.
func (m *fakeMaker) do(ctx context.Context, event string) error {
	m.at(event)
	return errors.Join(ctx.Err(), m.fail(event))
}

func (m *fakeMaker) Find(_ context.Context, step Step) (variant.Built, error) {
	if !m.made[step.Stage] {
		return variant.Built{}, store.ErrNotFound
	}
	return m.file(step), nil
}

func (m *fakeMaker) Make(ctx context.Context, step Step, _ bool, progress func(variant.Progress)) (variant.Built, error) {
	if progress != nil {
		progress(variant.Progress{Stage: variant.StageScoring1, Done: 1, Total: 2})
	}
	if !m.made[step.Stage] {
		if err := m.do(ctx, "make "+step.Stage); err != nil {
			return variant.Built{}, err
		}
		m.computed = append(m.computed, step.Stage)
	}
	m.made[step.Stage] = true
	return m.file(step), nil
}

func (m *fakeMaker) card(built variant.Built) variant.Card {
	return variant.Card{KLToDense: m.kl[built.Stage], Perplexity: 20, DensePerplexity: 10, Tokens: 510}
}

func (m *fakeMaker) FindCard(_ context.Context, built variant.Built) (variant.Card, error) {
	if !m.measured[built.Digest] {
		return variant.Card{}, store.ErrNotFound
	}
	return m.card(built), nil
}

func (m *fakeMaker) Card(ctx context.Context, built variant.Built) (variant.Card, error) {
	if m.noText {
		return variant.Card{}, fmt.Errorf("%w: it is short", variant.ErrNoHeldOut)
	}
	if err := m.do(ctx, "card "+built.Stage); err != nil {
		return variant.Card{}, err
	}
	m.measured[built.Digest] = true
	return m.card(built), nil
}

// fakeCatalog serves one variant.
type fakeCatalog struct {
	maker     *fakeMaker
	mu        sync.Mutex
	serving   *variant.Built
	refusals  int // Swap is refused so often
	swapped   []string
	announced []string
}

func (c *fakeCatalog) Serving(float64) (variant.Built, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.serving == nil {
		return variant.Built{}, false
	}
	return *c.serving, true
}

func (c *fakeCatalog) Swap(built variant.Built) error {
	c.maker.at("swap " + built.Stage)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refusals > 0 {
		c.refusals--
		return catalog.ErrNotServed
	}
	c.serving = &built
	c.swapped = append(c.swapped, built.Stage)
	return nil
}

func (c *fakeCatalog) Announce(next string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.announced); n == 0 || c.announced[n-1] != next {
		c.announced = append(c.announced, next)
	}
}

func (c *fakeCatalog) load(built variant.Built) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.serving = &built
}

type noView struct{}

func (noView) Show(variant.Progress) {}
func (noView) Close()                {}

// improver is an Improver of all stages whose outcomes are recorded.
type improver struct {
	*Improver
	counted, tried []string // the series at 0, and the attempts
}

func newImprover(maker *fakeMaker) *improver {
	i := &improver{}
	i.Improver = New(Options{
		Ratio: 0.2, Steps: Plan(recipe(4096, 16384), true, time.Minute), Maker: maker, View: noView{}, Log: slog.New(slog.DiscardHandler),
		Tried: func(stage, outcome string, attempts int) {
			if attempts == 0 {
				i.counted = append(i.counted, stage+" "+outcome)
			}
			for range attempts {
				i.tried = append(i.tried, stage+" "+outcome)
			}
		},
	})
	return i
}

// start builds what a server begins with, and returns a catalog that serves it.
func (i *improver) start(t *testing.T, maker *fakeMaker) *fakeCatalog {
	t.Helper()
	built, err := i.Build(t.Context(), variant.Spec{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return &fakeCatalog{maker: maker, serving: &built}
}

// checked compares what happened with what was to happen.
func checked(t *testing.T, what string, want, got []string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// The stages come one after the other, each swapped in after a comparison, and the catalog is told what comes next.
func TestStagesInOrder(t *testing.T) {
	maker := newMaker()
	i := newImprover(maker)
	variants := i.start(t, maker)
	if err := i.Run(t.Context(), variants); err != nil {
		t.Fatal(err)
	}
	checked(t, "stages computed", []string{"quick", "refined", "healed"}, maker.computed)
	checked(t, "swaps", []string{"refined", "healed"}, variants.swapped)
	checked(t, "outcomes", []string{"refined better", "healed better"}, i.tried)
	checked(t, "series before any attempt", []string{"refined better", "refined not_better", "refined failed", "healed better", "healed not_better", "healed failed"}, i.counted)
	const refined, healed = "refined, scored on 4096 tokens and refitted on 16384", "healed, trained for 1m0s"
	checked(t, "announced", []string{
		refined, refined + ": scoring: 50%", refined + ": comparing with quick on held-out text",
		healed, healed + ": scoring: 50%", healed + ": comparing with refined on held-out text", "",
	}, variants.announced)
}

// A stage that is not better does not answer, now or after a restart, and is not made again.
func TestWorseStageIsRefused(t *testing.T) {
	for name, kl := range map[string]float64{"worse": 1.1, "as good": 0.9} {
		t.Run(name, func(t *testing.T) {
			maker := newMaker()
			maker.kl[variant.Refined] = kl
			for start := range 2 {
				i := newImprover(maker)
				variants := i.start(t, maker)
				if want := []string{variant.Quick, variant.Healed}[start]; variants.serving.Stage != want {
					t.Errorf("start %d begins with %s, want %s", start, variants.serving.Stage, want)
				}
				if err := i.Run(t.Context(), variants); err != nil {
					t.Fatal(err)
				}
				if start == 0 {
					checked(t, "outcomes", []string{"refined not_better", "healed better"}, i.tried)
				}
			}
			checked(t, "stages computed", []string{"quick", "refined", "healed"}, maker.computed)
		})
	}
	maker := newMaker()
	maker.kl[variant.Refined], maker.kl[variant.Healed] = 1.1, 1
	for range 2 {
		i := newImprover(maker)
		variants := i.start(t, maker)
		if err := i.Run(t.Context(), variants); err != nil || variants.serving.Stage != variant.Quick {
			t.Errorf("with worse stages alone %s answers, %v", variants.serving.Stage, err)
		}
		checked(t, "outcomes", []string{"refined not_better", "healed not_better"}, i.tried)
	}
	checked(t, "stages computed", []string{"quick", "refined", "healed"}, maker.computed)
}

// A training without gain leaves the file that was trained, which answers already.
func TestTrainingWithoutGain(t *testing.T) {
	maker := newMaker()
	maker.gainless = true
	i := newImprover(maker)
	var logged strings.Builder
	i.Log = slog.New(slog.NewTextHandler(&logged, nil))
	variants := i.start(t, maker)
	if err := i.Run(t.Context(), variants); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(logged.String(), `"stage gains nothing" variant=m@0.2 stage=healed answers=refined`) {
		t.Errorf("logged %q, want that the training gains nothing", logged.String())
	}
	checked(t, "swaps", []string{"refined"}, variants.swapped)
	checked(t, "outcomes", []string{"refined better", "healed not_better"}, i.tried)
}

// A process that is killed at any point leaves a store from which the next one goes on. The next one begins with a file at least as
// good as the one that answered. It makes no finished stage again, and ends with the best.
func TestResumeAtEveryPoint(t *testing.T) {
	for point := 1; ; point++ {
		maker := newMaker()
		ctx, kill := context.WithCancel(t.Context())
		events := 0
		var last string
		maker.at = func(event string) {
			if events++; events == point {
				last = event
				kill()
			}
		}
		first := newImprover(maker)
		served := ""
		if built, err := first.Build(ctx, variant.Spec{}, nil); err == nil {
			variants := &fakeCatalog{maker: maker, serving: &built}
			err := first.Run(ctx, variants)
			if ctx.Err() != nil && err == nil && !strings.HasPrefix(last, "swap healed") {
				t.Errorf("killed at %q: Run returns no error", last)
			}
			served = variants.serving.Stage
		}
		kill()
		if last == "" {
			if point < 8 {
				t.Errorf("only %d points to be killed at", point-1)
			}
			return
		}
		maker.at = func(string) {}
		second := newImprover(maker)
		variants := second.start(t, maker)
		if served != "" && maker.kl[variants.serving.Stage] > maker.kl[served] {
			t.Errorf("killed at %q with %s: the next process begins with %s", last, served, variants.serving.Stage)
		}
		if err := second.Run(t.Context(), variants); err != nil || variants.serving.Stage != variant.Healed {
			t.Errorf("killed at %q: the next process ends with %s, %v", last, variants.serving.Stage, err)
		}
		checked(t, fmt.Sprintf("stages computed after a kill at %q", last), []string{"quick", "refined", "healed"}, maker.computed)
	}
}

// A stage that fails is tried again after pauses, while the variant answers, and a success in between goes on.
func TestFailuresAreRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		maker, failures := newMaker(), 0
		full := errors.New("no space left on device")
		maker.fail = func(event string) error {
			if event == "make refined" && failures < 2 {
				failures++
				return full
			}
			return nil
		}
		i := newImprover(maker)
		variants := i.start(t, maker)
		began := time.Now()
		if err := i.Run(t.Context(), variants); err != nil || variants.serving.Stage != variant.Healed {
			t.Errorf("Run = %v with %s, want the last stage", err, variants.serving.Stage)
		}
		if took := time.Since(began); took != 11*time.Minute {
			t.Errorf("two retries come after %s, want 11m", took)
		}
		checked(t, "outcomes", []string{"refined failed", "refined failed", "refined better", "healed better"}, i.tried)
		if want := "refined, scored on 4096 tokens and refitted on 16384: the last attempt failed (no space left on device); the next one begins within 1m0s"; !slices.Contains(variants.announced, want) {
			t.Errorf("announced %q, want the failure", variants.announced)
		}
	})
}

// Run gives up after some attempts, and at once where the model's file was replaced. What answers stays.
func TestGivingUp(t *testing.T) {
	for name, test := range map[string]struct {
		fault    error
		attempts int
	}{"no room": {fs.ErrPermission, 3}, "another model file": {fmt.Errorf("model %w", models.ErrChanged), 1}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				for _, event := range []string{"make refined", "card refined"} {
					maker := newMaker()
					maker.fail = func(e string) error {
						if e == event {
							return test.fault
						}
						return nil
					}
					i := newImprover(maker)
					variants := i.start(t, maker)
					err := i.Run(t.Context(), variants)
					if !errors.Is(err, test.fault) || !strings.Contains(err.Error(), "refined") {
						t.Errorf("%s: Run = %v, want its error", event, err)
					}
					if variants.serving.Stage != variant.Quick || len(i.tried) != test.attempts || variants.announced[len(variants.announced)-1] != "" {
						t.Errorf("%s: %s answers after %v, announced %q", event, variants.serving.Stage, i.tried, variants.announced)
					}
				}
			})
		})
	}
}

// Run waits for a variant that is not loaded yet, and for one that is lost at the time of a swap.
func TestWaitsUntilTheVariantIsLoaded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		maker := newMaker()
		i := newImprover(maker)
		first, err := i.Build(t.Context(), variant.Spec{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		variants := &fakeCatalog{maker: maker, refusals: 3}
		time.AfterFunc(time.Minute, func() { variants.load(first) })
		began := time.Now()
		if err := i.Run(t.Context(), variants); err != nil || variants.serving.Stage != variant.Healed {
			t.Errorf("Run = %v with %s, want the last stage", err, variants.serving.Stage)
		}
		if took := time.Since(began).Round(time.Second); took < time.Minute || took > 65*time.Second {
			t.Errorf("it took %s, want the minute until the variant was loaded, and three pauses", took)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := newImprover(maker).Run(ctx, &fakeCatalog{maker: maker}); !errors.Is(err, context.Canceled) {
			t.Errorf("Run without a variant = %v, want it to end with its context", err)
		}
	})
}

// Without held-out text nothing replaces what answers but a training, which has held-out text of its own.
func TestWithoutHeldOutText(t *testing.T) {
	maker := newMaker()
	maker.noText = true
	i := newImprover(maker)
	variants := i.start(t, maker)
	if err := i.Run(t.Context(), variants); err != nil {
		t.Fatal(err)
	}
	checked(t, "outcomes", []string{"refined not_better", "healed better"}, i.tried)
}

// Background work gives way to a variant that clients wait for: it is cancelled, and begins again when that is made.
func TestGivesWayToVariantsThatClientsWaitFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		maker := newMaker()
		i := newImprover(maker)
		variants := i.start(t, maker)
		i.Making(true)
		i.Making(true)
		done := make(chan error, 1)
		go func() { done <- i.Run(t.Context(), variants) }()
		synctest.Wait()
		checked(t, "stages computed while a variant is made", []string{"quick"}, maker.computed)
		interrupted := 0
		maker.at = func(event string) {
			if event == "make healed" && interrupted < 2 {
				interrupted++
				i.Making(true) // the work's context ends now
				time.AfterFunc(time.Hour, func() { i.Making(false) })
			}
		}
		i.Making(false)
		began := time.Now()
		if err := <-done; err != nil || variants.serving.Stage != variant.Healed || interrupted != 2 {
			t.Errorf("Run = %v with %s after %d interruptions, want the last stage", err, variants.serving.Stage, interrupted)
		}
		if took := time.Since(began); took != 2*time.Hour {
			t.Errorf("it took %s, want the two hours in which another variant was made", took)
		}
		checked(t, "outcomes", []string{"refined better", "healed better"}, i.tried)
	})
}

// A plan of one stage builds it as ever.
func TestOneStage(t *testing.T) {
	maker := newMaker()
	i := newImprover(maker)
	i.Steps = Plan(recipe(4096, 16384), false, 0)
	variants := i.start(t, maker)
	if variants.serving.Stage != variant.Refined {
		t.Errorf("it begins with %s", variants.serving.Stage)
	}
	if err := i.Run(t.Context(), variants); err != nil || len(maker.computed) != 1 {
		t.Errorf("Run = %v after %v", err, maker.computed)
	}
}

// Start runs in the background until it is stopped, and logs an error that ends it.
func TestStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		maker := newMaker()
		i := newImprover(maker)
		i.Start(t.Context(), &fakeCatalog{maker: maker})() // the variant is never loaded
		var logged strings.Builder
		i.Log = slog.New(slog.NewTextHandler(&logged, nil))
		maker.fail = func(string) error { return models.ErrChanged }
		built := maker.file(i.Steps[0])
		stop := i.Start(t.Context(), &fakeCatalog{maker: maker, serving: &built})
		synctest.Wait()
		stop()
		if !strings.Contains(logged.String(), "keeping the file that answers") {
			t.Errorf("logged %q, want the error", logged.String())
		}
		i.Steps = i.Steps[:1]
		i.Start(t.Context(), nil)() // nothing to do
	})
}
