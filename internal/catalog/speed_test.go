package catalog

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"prunellm/internal/polltest"
	"prunellm/internal/variant"
	"prunellm/server"
)

// each turns a function that measures one variant into a Measure.Speeds.
func each(one func(context.Context, variant.Built, server.Engine, func() bool) (variant.Speed, error)) func(context.Context, SpeedRequest) ([]variant.Speed, error) {
	return func(ctx context.Context, request SpeedRequest) (speeds []variant.Speed, err error) {
		for _, subject := range request.Subjects {
			speed, err := one(ctx, subject.Built, subject.Engine, request.Undisturbed)
			if err != nil {
				return nil, err
			}
			speeds = append(speeds, speed)
		}
		return speeds, nil
	}
}

// All loaded variants are measured in turns. Speeds that were measured on a busy machine are measured again.
func TestSpeedsAreMeasuredTogether(t *testing.T) {
	requests := make(chan SpeedRequest, 8)
	b := newBench(t, func(o *Options) {
		o.Measure.Speeds = func(_ context.Context, request SpeedRequest) ([]variant.Speed, error) {
			requests <- request
			speeds := make([]variant.Speed, len(request.Subjects))
			for i := range speeds {
				speeds[i] = variant.NewSpeed(time.Second, time.Duration(10+len(speeds))*time.Millisecond, 200, 1)
			}
			if len(speeds) == 2 && !request.Again {
				return speeds, ErrBusy
			}
			return speeds, nil
		}
	})
	b.measurer.idle.next = time.Millisecond
	close(b.gate)
	b.Start(t.Context())
	b.waitReady(t)
	if first := <-requests; len(first.Subjects) != 1 || first.Again {
		t.Errorf("first measurement is of %+v, want only the startup variant", first)
	}
	b.acquireNow(t, at(0.3)).Release()
	for again := range 2 {
		second := <-requests
		if len(second.Subjects) != 2 || second.Subjects[0].Built.Ratio != 0.3 || second.Subjects[1].Built.Ratio != 0.2 || second.Again != (again == 1) {
			t.Errorf("try %d measures %+v, want 0.3 and 0.2", again, second)
		}
	}
	polltest.Within(t, 30*time.Second, func() error {
		for _, name := range []string{"m@0.2", "m@0.3"} {
			if c := b.cardOf(name); c == nil || c.ITL == nil || *c.ITL != 12 || c.Provisional || c.MeasuredAt == 0 {
				return fmt.Errorf("%s: the card is %+v", name, c)
			}
		}
		return nil
	})
}

// If requests see a different speed than the card, it is measured again, but only a few times.
func TestSpeedThatRequestsContradict(t *testing.T) {
	again := make(chan bool, 8)
	b := newBench(t, func(o *Options) {
		o.Measure.Speeds = each(func(context.Context, variant.Built, server.Engine, func() bool) (variant.Speed, error) {
			return variant.NewSpeed(time.Second, 10*time.Millisecond, 200, 1), nil
		})
		measure := o.Measure.Speeds
		o.Measure.Speeds = func(ctx context.Context, request SpeedRequest) ([]variant.Speed, error) {
			again <- request.Again
			return measure(ctx, request)
		}
	})
	close(b.gate)
	b.Start(t.Context())
	b.waitReady(t)
	measured := func() {
		t.Helper()
		polltest.Within(t, 30*time.Second, func() error {
			b.state.mu.Lock()
			defer b.state.mu.Unlock()
			if e := b.state.engine(0.2); e.speed == nil || e.seen != nil || b.state.activity.measuring > 0 {
				return errors.New("not measured")
			}
			return nil
		})
	}
	see := func(prompt int, itl time.Duration) {
		held := b.acquireNow(t, at(0.2))
		defer held.Release()
		for range seenAnswers {
			b.measurer.saw(b.loadedNow(0.2), prompt, itl)
		}
	}
	measured()
	if <-again {
		t.Error("the first measurement ignores stored speeds")
	}
	see(100, 12*time.Millisecond)
	see(5000, 50*time.Millisecond) // after a long prompt
	if len(again) > 0 {
		t.Error("the speed is measured again although requests agree with the card")
	}
	for range maxRemeasured + 2 {
		b.state.mu.Lock()
		b.state.engine(0.2).seen = nil
		b.state.mu.Unlock()
		see(100, 30*time.Millisecond)
		if b.loadedNow(0.2).remeasured < maxRemeasured {
			if !<-again {
				t.Error("a stored speed that disagrees is used again")
			}
		}
		polltest.Within(t, 30*time.Second, func() error {
			b.state.mu.Lock()
			defer b.state.mu.Unlock()
			if b.state.activity.measuring > 0 {
				return errors.New("measuring")
			}
			return nil
		})
	}
	if n := b.loadedNow(0.2).remeasured; n != maxRemeasured {
		t.Errorf("the speed is measured again %d times, want %d", n, maxRemeasured)
	}
}

// A variant under measurement is evicted for one that a client waits for.
func TestMeasuringHoldsNoPlace(t *testing.T) {
	measuring := make(chan string, 8)
	b := newBench(t, func(o *Options) {
		o.Measure.Speeds = each(func(ctx context.Context, built variant.Built, _ server.Engine, _ func() bool) (variant.Speed, error) {
			if built.Ratio == 0.2 {
				return variant.NewSpeed(time.Second, time.Second, 1, 1), nil
			}
			measuring <- built.Name()
			<-ctx.Done() // simulates a slow machine: the measurement ends only with its context
			return variant.Speed{}, ctx.Err()
		})
	})
	close(b.gate)
	b.Start(t.Context())
	b.waitReady(t)
	for _, ratio := range []float64{0.3, 0.4, 0.5} { // there are two places, one for the startup variant
		b.acquireNow(t, at(ratio)).Release()
		select {
		case <-measuring:
		case <-time.After(30 * time.Second):
			t.Fatalf("%g is not measured", ratio)
		}
	}
	if got := described(b.Catalog); got["m@0.3"].State == "loaded" || got["m@0.5"].State != "loaded" {
		t.Errorf("variants = %+v, want the last one loaded", got)
	}
}

// A variant that is swapped in shows the previous variant's speed until it is measured itself.
func TestSwappedVariantIsMeasured(t *testing.T) {
	b := newBench(t, func(o *Options) {
		o.Measure.Speeds = each(func(_ context.Context, built variant.Built, _ server.Engine, _ func() bool) (variant.Speed, error) {
			if built.Digest == "trained" {
				return variant.NewSpeed(time.Second, 2*time.Millisecond, 1, 1), nil
			}
			return variant.NewSpeed(time.Second, time.Millisecond, 1, 1), nil
		})
	})
	close(b.gate)
	b.Start(t.Context())
	b.waitReady(t)
	until := func(what string, itl float64) {
		t.Helper()
		polltest.Within(t, 30*time.Second, func() error {
			if c := b.cardOf("m@0.2"); c == nil || c.ITL == nil || *c.ITL != itl {
				return fmt.Errorf("%s: the card is %+v", what, c)
			}
			return nil
		})
	}
	until("before", 1)
	if err := b.Swap(variant.Built{Model: "m", Ratio: 0.2, Digest: "trained"}); err != nil {
		t.Fatal(err)
	}
	if c := b.cardOf("m@0.2"); c == nil || c.ITL == nil {
		t.Errorf("the card is %+v right after the swap, want a speed on it", c)
	}
	until("after", 2)
}

// A ratio that can never be loaded gives an error before it is made.
func TestNoPlaceForAnother(t *testing.T) {
	b := newBench(t, func(o *Options) { o.Limits.MaxLoaded = 1 })
	close(b.gate)
	b.Start(t.Context())
	b.waitReady(t)
	before := b.builds.Load()
	var notReady *server.NotReadyError
	if _, err := b.Acquire(t.Context(), at(0.3)); !errors.As(err, &notReady) || !strings.Contains(err.Error(), "places for loaded variants (1)") {
		t.Errorf("Acquire = %v, want a NotReadyError that says how many are loaded", err)
	}
	if b.builds.Load() != before {
		t.Error("a variant was made although it can never be loaded")
	}
}

// A request on an engine that has since been replaced disturbs a measurement like any other request.
func TestMeasuringWaitsForRequestsOnAReplacedEngine(t *testing.T) {
	b := newBench(t, nil)
	close(b.gate)
	b.Start(t.Context())
	b.waitReady(t)
	held := b.acquireNow(t, at(0.2))
	if err := b.Swap(variant.Built{Model: "m", Ratio: 0.2, Digest: "trained"}); err != nil {
		t.Fatal(err)
	}
	next := b.loadedNow(0.2)
	b.measurer.measure.Speeds = each(func(context.Context, variant.Built, server.Engine, func() bool) (variant.Speed, error) {
		return variant.NewSpeed(time.Second, time.Second, 1, 1), nil
	})
	if err := b.measurer.trySpeed(next, false); !errors.Is(err, ErrDisturbed) {
		t.Errorf("measuring while a request runs on the old engine = %v, want ErrDisturbed", err)
	}
	held.Release()
	if err := b.measurer.trySpeed(next, false); err != nil {
		t.Errorf("measuring after the request = %v", err)
	}
}
