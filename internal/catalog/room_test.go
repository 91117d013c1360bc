package catalog

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"prunellm/internal/variant"
	"prunellm/openapi"
	"prunellm/server"
)

func TestIdleEnginesAreUnloaded(t *testing.T) {
	clock := &fakeClock{}
	b := newBench(t, func(o *Options) { o.Limits.IdleTimeout = time.Hour })
	b.state.clock = clock.time
	close(b.gate)
	b.Start(t.Context())
	b.waitReady(t)
	held := b.acquireNow(t, at(0.3))
	clock.advance(2 * time.Hour)
	if b.evictor.sweep(); b.engines[0].closed.Load() || b.engines[1].closed.Load() {
		t.Fatal("the startup variant and one in use stay, however long ago they were asked for")
	}
	held.Release()
	clock.advance(59 * time.Minute)
	if b.evictor.sweep(); b.engines[1].closed.Load() {
		t.Error("unloaded before its time")
	}
	clock.advance(time.Minute)
	if b.evictor.sweep(); !b.engines[1].closed.Load() || b.engines[0].closed.Load() {
		t.Errorf("closed %t and %t, want the idle one alone unloaded", b.engines[0].closed.Load(), b.engines[1].closed.Load())
	}
	b.acquireNow(t, at(0.3)).Release()
}

// The budget in bytes makes room as the number of engines does; one alone is never too large.
func TestMemoryBudget(t *testing.T) {
	b := newBench(t, func(o *Options) {
		o.Limits.MaxLoaded, o.Limits.MemoryBudget = 10, 100
		o.Work.Memory = func(built variant.Built) int64 { return int64(100 * (1 - built.Ratio)) }
	})
	close(b.gate)
	b.acquireNow(t, at(0.6)).Release() // 40
	b.acquireNow(t, at(0.5)).Release() // 50
	b.acquireNow(t, at(0.4)).Release() // 60: only one of the others may stay
	open := 0
	for _, e := range b.engines {
		if !e.closed.Load() {
			open++
		}
	}
	if open != 1 || !b.engines[0].closed.Load() || !b.engines[1].closed.Load() {
		t.Errorf("%d engines are open, want the last alone: 60 of 100 leave no room for 50, and 40 went first", open)
	}
	held := b.acquireNow(t, at(0.4))
	var notReady *server.NotReadyError
	if _, err := b.Acquire(t.Context(), at(0.3)); !errors.As(err, &notReady) {
		t.Errorf("Acquire beyond the budget = %v, want a NotReadyError", err)
	}
	held.Release()
	b.acquireNow(t, at(0)).Release()
}

// A machine without the memory makes room too, until nothing is left to unload.
func TestShortMemory(t *testing.T) {
	room := 2
	b := newBench(t, func(o *Options) {
		o.Limits.MaxLoaded = 10
		load := o.Work.Load
		o.Work.Load = func(ctx context.Context, built variant.Built) (Loaded, error) {
			if room == 0 {
				return Loaded{}, shortError{}
			}
			room--
			loaded, err := load(ctx, built)
			loaded.Engine = roomy{loaded.Engine, &room}
			return loaded, err
		}
	})
	close(b.gate)
	b.acquireNow(t, at(0.3)).Release()
	second := b.acquireNow(t, at(0.4))
	third := b.acquireNow(t, at(0.5))
	if !b.engines[0].closed.Load() {
		t.Error("the unused engine did not make room")
	}
	if _, err := b.Acquire(t.Context(), at(0.6)); !errors.As(err, new(shortError)) {
		t.Errorf("Acquire = %v, want the lack of memory", err)
	}
	second.Release()
	third.Release()
}

type shortError struct{}

func (shortError) Error() string     { return "no memory" }
func (shortError) OutOfMemory() bool { return true }

// roomy gives its memory back when it is closed.
type roomy struct {
	Engine
	room *int
}

func (r roomy) Close(ctx context.Context) error {
	*r.room++
	return r.Engine.Close(ctx)
}

func TestVariantsAreCounted(t *testing.T) {
	b := newBench(t, func(o *Options) { o.Limits.MaxMade = 2 })
	close(b.gate)
	b.Start(t.Context())
	b.waitReady(t)
	for _, ratio := range []float64{0, 0.2, 0.3, 0.30000001, 0.4, 0.3} {
		b.acquireNow(t, at(ratio)).Release()
	}
	var notReady *server.NotReadyError
	if _, err := b.Acquire(t.Context(), at(0.5)); !errors.As(err, &notReady) || !strings.Contains(err.Error(), "at most 2") {
		t.Errorf("a third variant = %v, want a NotReadyError that tells the limit", err)
	}
	if err := b.Delete(at(0.3)); err != nil {
		t.Fatal(err)
	}
	b.acquireNow(t, at(0.5)).Release()
}

// With room for one engine the dense model answers until the very moment that the startup variant can.
func TestMoveWithoutAGap(t *testing.T) {
	b := newBench(t, func(o *Options) {
		o.Model.ServeDense, o.Limits.MaxLoaded = true, 1
		build := o.Work.Build
		o.Work.Build = func(ctx context.Context, ratio float64, progress func(variant.Progress)) (variant.Built, error) {
			if ratio == 0 {
				return variant.Built{Model: "m", Digest: "dense"}, nil
			}
			return build(ctx, ratio, progress)
		}
	})
	b.Start(t.Context())
	b.waitReady(t)
	long := b.acquireNow(t, openapi.ModelName{Base: "m"})
	close(b.gate)
	deadline := time.Now().Add(30 * time.Second)
	for name := "m@0"; name != "m@0.2"; {
		held, err := b.Acquire(t.Context(), openapi.ModelName{Base: "m"})
		if err != nil {
			t.Fatalf("a request found nobody to answer: %v", err)
		}
		name = held.Name
		held.Release()
		if time.Now().After(deadline) {
			t.Fatal("requests do not move over")
		}
	}
	if b.engines[0].closed.Load() {
		t.Error("the dense model was closed under a request")
	}
	long.Release()
	var notReady *server.NotReadyError
	if _, err := b.Acquire(t.Context(), at(0.3)); !errors.As(err, &notReady) {
		t.Errorf("a second variant where there is room for one = %v, want a NotReadyError", err)
	}
	if !b.engines[0].closed.Load() {
		t.Error("the dense model stays although nobody needs it and there is no room")
	}
}

// Who names the startup ratio waits for it and never gets the dense model.
func TestNamedRatioWaits(t *testing.T) {
	b := newBench(t, func(o *Options) {
		o.Model.ServeDense = true
		build := o.Work.Build
		o.Work.Build = func(ctx context.Context, ratio float64, progress func(variant.Progress)) (variant.Built, error) {
			if ratio == 0 {
				return variant.Built{Model: "m", Digest: "dense"}, nil
			}
			return build(ctx, ratio, progress)
		}
	})
	b.Start(t.Context())
	b.waitReady(t)
	got := make(chan string, 1)
	go func() {
		held, err := b.Acquire(context.Background(), at(0.2))
		if err != nil {
			got <- err.Error()
			return
		}
		got <- held.Name
		held.Release()
	}()
	close(b.gate)
	if name := <-got; name != "m@0.2" {
		t.Errorf("m@0.2 is answered by %s", name)
	}
}

// A startup engine that fails is loaded again.
func TestLostStartupEngine(t *testing.T) {
	b := newBench(t, nil)
	close(b.gate)
	b.Start(t.Context())
	b.waitReady(t)
	close(b.engines[0].done)
	var notReady *server.NotReadyError
	if _, err := b.Acquire(t.Context(), openapi.ModelName{}); !errors.As(err, &notReady) {
		t.Errorf("Acquire of a failed engine = %v, want a NotReadyError", err)
	}
	b.waitReady(t)
	b.acquireNow(t, openapi.ModelName{}).Release()
}
