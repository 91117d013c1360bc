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
		t.Fatal("the startup variant and a variant in use must stay, no matter how long ago they were requested")
	}
	held.Release()
	clock.advance(59 * time.Minute)
	if b.evictor.sweep(); b.engines[1].closed.Load() {
		t.Error("an engine was unloaded before its idle timeout")
	}
	clock.advance(time.Minute)
	if b.evictor.sweep(); !b.engines[1].closed.Load() || b.engines[0].closed.Load() {
		t.Errorf("closed %t and %t, want only the idle engine unloaded", b.engines[0].closed.Load(), b.engines[1].closed.Load())
	}
	b.acquireNow(t, at(0.3)).Release()
}

// The budget in bytes evicts engines just like their maximum number does. A single engine is never too large.
func TestMemoryBudget(t *testing.T) {
	b := newBench(t, func(o *Options) {
		o.Limits.MaxLoaded, o.Limits.MemoryBudget = 10, 100
		o.Work.Memory = func(built variant.Built) int64 { return int64(100 * (1 - built.Ratio)) }
	})
	close(b.gate)
	b.acquireNow(t, at(0.6)).Release() // 40
	b.acquireNow(t, at(0.5)).Release() // 50
	b.acquireNow(t, at(0.4)).Release() // 60: only one of the others fits as well
	open := 0
	for _, e := range b.engines {
		if !e.closed.Load() {
			open++
		}
	}
	if open != 1 || !b.engines[0].closed.Load() || !b.engines[1].closed.Load() {
		t.Errorf("%d engines are open, want only the last: 60 of 100 leave no room for 50, and 40 was evicted first", open)
	}
	held := b.acquireNow(t, at(0.4))
	var notReady *server.NotReadyError
	if _, err := b.Acquire(t.Context(), at(0.3)); !errors.As(err, &notReady) {
		t.Errorf("Acquire beyond the budget = %v, want a NotReadyError", err)
	}
	held.Release()
	b.acquireNow(t, at(0)).Release()
}

// If the machine has too little memory, the catalog also evicts engines until none is left.
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
		t.Error("the unused engine was not evicted")
	}
	if _, err := b.Acquire(t.Context(), at(0.6)); !errors.As(err, new(shortError)) {
		t.Errorf("Acquire = %v, want the out-of-memory error", err)
	}
	second.Release()
	third.Release()
}

type shortError struct{}

func (shortError) Error() string     { return "no memory" }
func (shortError) OutOfMemory() bool { return true }

// roomy is an engine that frees its memory when it is closed.
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
		t.Errorf("Acquire of a third variant = %v, want a NotReadyError that names the limit", err)
	}
	if err := b.Delete(at(0.3)); err != nil {
		t.Fatal(err)
	}
	b.acquireNow(t, at(0.5)).Release()
}

// With a place for only one engine, the dense model answers until the moment at which the startup variant can.
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
			t.Fatalf("no engine answers a request: %v", err)
		}
		name = held.Name
		held.Release()
		if time.Now().After(deadline) {
			t.Fatal("requests do not move to the startup variant")
		}
	}
	if b.engines[0].closed.Load() {
		t.Error("the dense model was closed during a request")
	}
	long.Release()
	var notReady *server.NotReadyError
	if _, err := b.Acquire(t.Context(), at(0.3)); !errors.As(err, &notReady) {
		t.Errorf("Acquire of a second variant with a single place = %v, want a NotReadyError", err)
	}
	if !b.engines[0].closed.Load() {
		t.Error("the dense model stays loaded although it has no users and no place")
	}
}

// A request that names the startup ratio waits for that variant and never gets the dense model.
func TestNamedRatioWaits(t *testing.T) {
	b := newBench(t, denseReady)
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
		t.Errorf("%s answers a request for m@0.2", name)
	}
}

// If the engine of the startup variant fails, the variant is loaded again.
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
