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

// A variant whose speed is being measured goes for one that a client waits for.
func TestMeasuringHoldsNoPlace(t *testing.T) {
	measuring := make(chan string, 8)
	b := newBench(t, func(o *Options) {
		o.Measure.Speed = func(ctx context.Context, built variant.Built, _ server.Engine, _ func() bool) (variant.Speed, error) {
			if built.Ratio == 0.2 {
				return variant.NewSpeed(time.Second, time.Second, 1), nil
			}
			measuring <- built.Name()
			<-ctx.Done() // a slow machine: only its end ends it
			return variant.Speed{}, ctx.Err()
		}
	})
	close(b.gate)
	b.Start(t.Context())
	b.waitReady(t)
	for _, ratio := range []float64{0.3, 0.4, 0.5} { // two fit, and the startup variant has one of the places
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

// The variant that takes the startup variant's place has its speed, and is measured itself.
func TestSwappedVariantIsMeasured(t *testing.T) {
	b := newBench(t, func(o *Options) {
		o.Measure.Speed = func(_ context.Context, built variant.Built, _ server.Engine, _ func() bool) (variant.Speed, error) {
			if built.Digest == "trained" {
				return variant.NewSpeed(time.Second, 2*time.Millisecond, 1), nil
			}
			return variant.NewSpeed(time.Second, time.Millisecond, 1), nil
		}
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

// A ratio that can never be loaded is refused before it is made.
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
		t.Error("a variant was made that nobody can load")
	}
}

// A request on an engine that was replaced under it disturbs a measurement as any other does.
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
	b.measurer.measure.Speed = func(context.Context, variant.Built, server.Engine, func() bool) (variant.Speed, error) {
		return variant.NewSpeed(time.Second, time.Second, 1), nil
	}
	if err := b.measurer.trySpeed(next); !errors.Is(err, ErrDisturbed) {
		t.Errorf("measuring while a request runs on the old engine = %v, want ErrDisturbed", err)
	}
	held.Release()
	if err := b.measurer.trySpeed(next); err != nil {
		t.Errorf("measuring after it = %v", err)
	}
}
