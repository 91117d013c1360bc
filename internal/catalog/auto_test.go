package catalog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"prunellm/infer"
	"prunellm/internal/polltest"
	"prunellm/internal/slo"
	"prunellm/internal/variant"
	"prunellm/openapi"
	"prunellm/server"
)

// ladder returns a catalog with the ratios 0 (40 ms between tokens), 0.2 (20 ms) and 0.4 (10 ms), all loaded and
// measured.
func ladder(t *testing.T, auto Auto) *bench {
	t.Helper()
	auto.Ladder, auto.Policy = []float64{0, 0.2, 0.4}, slo.DefaultPolicy()
	b := newBench(t, func(o *Options) {
		o.Model.Startup, o.Limits.MaxLoaded, o.Auto = 0, 3, auto
		o.Measure.Speeds = each(func(_ context.Context, built variant.Built, _ server.Engine, _ func() bool) (variant.Speed, error) {
			itl := map[float64]time.Duration{0: 40, 0.2: 20, 0.4: 10}[built.Ratio] * time.Millisecond
			return variant.NewSpeed(10*itl, itl, 200, 1), nil
		})
	})
	close(b.gate)
	b.Start(t.Context())
	return b
}

// sheddingLadder is a ladder that sheds to keep a limit on TTFT. The test controls its clock.
func sheddingLadder(t *testing.T, limit time.Duration) (*bench, *fakeClock) {
	t.Helper()
	b, clock := ladder(t, Auto{Limits: slo.Limits{TTFT: limit}, Shed: true}), &fakeClock{}
	b.waitMeasured(t, 3)
	b.state.mu.Lock()
	b.state.clock = clock.time
	b.state.mu.Unlock()
	return b, clock
}

// waitMeasured waits until the cards of all n variants have a speed.
func (b *bench) waitMeasured(t *testing.T, n int) {
	t.Helper()
	polltest.Within(t, time.Minute, func() error {
		measured := 0
		b.state.mu.Lock()
		candidates := b.state.candidates(b.options.Auto.Ladder)
		b.state.mu.Unlock()
		for _, c := range candidates {
			if c.Measured {
				measured++
			}
		}
		if measured != n {
			return fmt.Errorf("%d variants are measured, want %d", measured, n)
		}
		return nil
	})
}

func TestAutoTakesTheLargestThatKeepsTheLimits(t *testing.T) {
	for name, c := range map[string]struct {
		limits slo.Limits
		want   string
	}{
		"all keep it":  {slo.Limits{ITL: 50 * time.Millisecond}, "m@0"},
		"some":         {slo.Limits{ITL: 25 * time.Millisecond}, "m@0.2"},
		"first token":  {slo.Limits{TTFT: 150 * time.Millisecond}, "m@0.4"},
		"none keep it": {slo.Limits{ITL: time.Millisecond}, "m@0.4"},
	} {
		t.Run(name, func(t *testing.T) {
			b := ladder(t, Auto{Limits: c.limits})
			b.waitMeasured(t, 3)
			held := b.acquireNow(t, openapi.ModelName{Base: "m", Auto: true})
			defer held.Release()
			if held.Name != c.want {
				t.Errorf("auto chooses %s, want %s", held.Name, c.want)
			}
			usual := b.acquireNow(t, openapi.ModelName{Base: "m"})
			defer usual.Release()
			if usual.Name != "m@0" {
				t.Errorf("a name without a ratio gives %s, want the startup variant", usual.Name)
			}
			if card := b.cardOf("m@0.2"); card == nil || card.ITL == nil || *card.ITL != 20 || *card.OutputTokensPerSec != 50 || *card.TTFT != 200 {
				t.Errorf("card = %+v, want the measured speed", card)
			}
		})
	}
}

func TestAutoWithoutLimitsIsRefused(t *testing.T) {
	b := newBench(t, nil)
	close(b.gate)
	b.Start(t.Context())
	b.waitReady(t)
	if _, err := b.Acquire(t.Context(), openapi.ModelName{Base: "m", Auto: true}); !errors.Is(err, server.ErrModelNotFound) {
		t.Errorf("Acquire = %v, want ErrModelNotFound", err)
	}
}

// fakeClock is a clock that tests advance.
type fakeClock struct{ now atomic.Int64 }

func (c *fakeClock) time() time.Time         { return time.Unix(1000, c.now.Load()) }
func (c *fakeClock) advance(d time.Duration) { c.now.Add(int64(d)) }

// scripted is a generation with chunks that the test sends.
type scripted struct{ chunks chan infer.Chunk }

func (s *scripted) Next(context.Context) (infer.Chunk, error) {
	if c, ok := <-s.chunks; ok {
		return c, nil
	}
	return infer.Chunk{}, io.EOF
}

// A request that waits too long moves the next ones down the ladder. Explicit ratios do not move. Once the load is low,
// requests move back.
func TestShedding(t *testing.T) {
	b, clock := sheddingLadder(t, 500*time.Millisecond)
	name := func(n openapi.ModelName) string {
		clock.advance(decisionInterval)
		held := b.acquireNow(t, n)
		defer held.Release()
		return held.Name
	}
	bare := openapi.ModelName{Base: "m"}
	if got := name(bare); got != "m@0" {
		t.Fatalf("without load: %s", got)
	}
	variant := &watched{watch: b.watch, clock: clock.time}
	variant.follow(t.Context(), &scripted{})
	clock.advance(400 * time.Millisecond)
	if got := name(bare); got != "m@0.2" {
		t.Errorf("while a request waits for 450 of 500 ms: %s, want m@0.2", got)
	}
	if got := name(at(0)); got != "m@0" {
		t.Errorf("an explicit ratio under load: %s", got)
	}
	clock.advance(2 * time.Second)
	if got := name(bare); got != "m@0.2" {
		t.Errorf("while a request still waits for the previous variant: %s, want m@0.2", got)
	}
	slow := &scripted{chunks: make(chan infer.Chunk, 2)}
	answer := variant.follow(t.Context(), slow)
	clock.advance(400 * time.Millisecond)
	if got := name(openapi.ModelName{Base: "m", Auto: true}); got != "m@0.4" {
		t.Errorf("after requests have waited longer: %s, want m@0.4", got)
	}
	slow.chunks <- infer.Chunk{Text: "a", Usage: infer.Usage{Completion: 1}}
	slow.chunks <- infer.Chunk{Text: "b", Usage: infer.Usage{Completion: 2}, Finish: infer.FinishLength}
	for range 2 {
		if _, err := answer.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for range 40 {
		clock.advance(time.Second)
		name(bare)
	}
	if got := name(bare); got != "m@0" {
		t.Errorf("after 40 s of low load: %s, want m@0", got)
	}
}

// A queue moves requests before any of them has waited long, because earlier answers show how long the queue makes them
// wait.
func TestSheddingLooksAtTheQueue(t *testing.T) {
	b, clock := sheddingLadder(t, 3*time.Second)
	name := func() string {
		clock.advance(decisionInterval)
		held := b.acquireNow(t, openapi.ModelName{Base: "m"})
		defer held.Release()
		return held.Name
	}
	// An answer of two seconds that waited for the first of them.
	answer := (&watched{watch: b.watch, clock: clock.time}).follow(t.Context(), &scripted{chunks: make(chan infer.Chunk, 2)})
	chunks := answer.(*watchedAnswer).Generation.(*scripted).chunks
	chunks <- infer.Chunk{Usage: infer.Usage{Completion: 1}}
	chunks <- infer.Chunk{Usage: infer.Usage{Completion: 2}, Queued: 500 * time.Millisecond, Finish: infer.FinishLength}
	for _, after := range []time.Duration{time.Second, 1500 * time.Millisecond} {
		clock.advance(after)
		if _, err := answer.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	dense := b.engineOf(t, 0)
	dense.running.Store(1)
	dense.queued.Store(9)
	if got := name(); got != "m@0" {
		t.Errorf("with a free sequence: %s, want m@0", got)
	}
	dense.running.Store(2)
	dense.queued.Store(0)
	if got := name(); got != "m@0" {
		t.Errorf("with a wait of one second and a limit of three: %s, want m@0", got)
	}
	dense.queued.Store(1)
	if got := name(); got != "m@0.2" {
		t.Errorf("with a wait of two seconds and a limit of three: %s, want m@0.2", got)
	}
	if got := name(); got != "m@0.2" {
		t.Errorf("with no queue at the smaller variant: %s, want m@0.2", got)
	}
}

// engineOf returns the fake engine of a ratio.
func (b *bench) engineOf(t *testing.T, ratio float64) *fakeEngine {
	t.Helper()
	b.state.mu.Lock()
	defer b.state.mu.Unlock()
	return b.state.shelves[ratio].engine.Engine.(*fakeEngine)
}

// An answer whose client has disconnected does not count as waiting.
func TestAnAbandonedAnswerIsForgotten(t *testing.T) {
	w := &watch{}
	v := &watched{watch: w, clock: time.Now}
	ctx, cancel := context.WithCancel(t.Context())
	v.follow(ctx, &scripted{})
	cancel()
	polltest.Within(t, 30*time.Second, func() error {
		w.mu.Lock()
		defer w.mu.Unlock()
		if n := len(w.shedding.waiting); n != 0 {
			return fmt.Errorf("%d are waiting", n)
		}
		return nil
	})
}

// A speed measurement counts as use, like a request: the hook reports its begin and end, and those of later requests.
func TestMeasuringIsUse(t *testing.T) {
	uses := make(chan bool, 8)
	b := newBench(t, func(o *Options) {
		o.Hooks.OnUse = func(inUse bool) { uses <- inUse }
		o.Measure.Speeds = each(func(context.Context, variant.Built, server.Engine, func() bool) (variant.Speed, error) {
			return variant.NewSpeed(time.Second, time.Second, 1, 1), nil
		})
	})
	close(b.gate)
	b.Start(t.Context())
	b.waitReady(t)
	ended := func() bool {
		b.state.mu.Lock()
		defer b.state.mu.Unlock()
		return !b.state.activity.inUse()
	}
	polltest.Within(t, 10*time.Second, func() error {
		if c := b.cardOf("m@0.2"); c == nil || c.ITL == nil || !ended() {
			return fmt.Errorf("not measured: the card is %+v", c)
		}
		return nil
	})
	for len(uses) > 0 {
		<-uses
	}
	b.acquireNow(t, at(0.2)).Release()
	close(uses)
	var heard []bool
	for inUse := range uses {
		heard = append(heard, inUse)
	}
	if !slices.Equal(heard, []bool{true, false}) {
		t.Errorf("a request after a measurement is reported as %v, want begin and end", heard)
	}
}

// A speed that was measured while something else ran is measured again.
func TestDisturbedMeasurementIsRepeated(t *testing.T) {
	var tries atomic.Int32
	var once sync.Once
	var b *bench
	begun := make(chan struct{})
	b = newBench(t, func(o *Options) {
		o.Measure.Speeds = each(func(ctx context.Context, built variant.Built, _ server.Engine, undisturbed func() bool) (variant.Speed, error) {
			tries.Add(1)
			<-begun
			once.Do(func() { b.acquireNow(t, at(0.2)).Release() })
			if !undisturbed() {
				return variant.Speed{}, ErrDisturbed
			}
			return variant.NewSpeed(time.Second, time.Second, 1, 1), nil
		})
	})
	close(b.gate)
	b.Start(t.Context())
	b.waitReady(t)
	close(begun)
	polltest.Within(t, time.Minute, func() error {
		if c := b.cardOf("m@0.2"); c == nil || c.ITL == nil {
			return fmt.Errorf("not measured: the card is %+v", c)
		}
		return nil
	})
	if tries.Load() < 2 {
		t.Errorf("%d tries, want a second one", tries.Load())
	}
}
