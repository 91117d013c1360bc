package catalog

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"prunellm/internal/polltest"
	"prunellm/internal/variant"
	"prunellm/openapi"
)

// After a swap, the new variant answers new requests. Running requests keep the old engine, which is closed when they
// end.
func TestSwap(t *testing.T) {
	var uses []bool
	b := newBench(t, func(o *Options) { o.Hooks.OnUse = func(inUse bool) { uses = append(uses, inUse) } })
	trained := variant.Built{Model: "m", Ratio: 0.2, Digest: "trained", Recovery: &variant.RecoveryReport{}}
	if err := b.Swap(trained); !errors.Is(err, ErrNotServed) {
		t.Errorf("Swap before the variant is loaded = %v, want ErrNotServed", err)
	}
	close(b.gate)
	b.Start(t.Context())
	b.waitReady(t)
	old, oldEngine := b.acquireNow(t, openapi.ModelName{Base: "m"}), b.loadedNow(0.2)
	if err := b.Swap(trained); err != nil {
		t.Fatal(err)
	}
	fake := oldEngine.Engine.(*fakeEngine)
	if fake.closed.Load() {
		t.Error("the old engine was closed during a request")
	}
	next, nextEngine := b.acquireNow(t, openapi.ModelName{Base: "m"}), b.loadedNow(0.2)
	if next.Generator != nextEngine.Serving.Generator {
		t.Error("after the swap a request does not hold the loaded engine")
	}
	if nextEngine.built.Digest != "trained" || nextEngine.card().Recovery == nil {
		t.Errorf("after the swap %q answers, want the trained variant with its gain on the card", nextEngine.built.Digest)
	}
	old.Release()
	if !fake.closed.Load() {
		t.Error("the old engine is still open after its last request")
	}
	next.Release()
	if err := b.Swap(trained); err != nil || b.acquireNow(t, at(0.2)).Generator != next.Generator || b.loadedNow(0.2) != nextEngine {
		t.Errorf("Swap of a loaded file = %v, want nothing to change", err)
	}
	if n := len(uses); n < 2 || n%2 == 0 || !uses[n-1] || uses[n-2] {
		t.Errorf("use was reported as %v, want it to alternate and to end with a request that holds a variant", uses)
	}
}

// Requests never fail, wait or lose their engine while the startup variant's file is replaced again and again. An answer names
// the file that it is of.
func TestSwapsUnderLoad(t *testing.T) {
	const swaps, clients = 20, 8
	b := newBench(t, nil)
	close(b.gate)
	b.Start(t.Context())
	b.waitReady(t)
	stop := make(chan struct{})
	var running sync.WaitGroup
	var answers atomic.Int64
	for range clients {
		running.Go(func() {
			for !isClosed(stop) {
				held, err := b.Acquire(t.Context(), openapi.ModelName{Base: "m"})
				if err != nil {
					t.Errorf("a request during a swap: %v", err)
					return
				}
				fake := held.Vocabulary.(*fakeEngine)
				answers.Add(1)
				if fake.closed.Load() || held.Name != "m@0.2" || held.Digest != fake.digest {
					t.Errorf("a request holds %s %s on engine %s, closed: %t", held.Name, held.Digest, fake.digest, fake.closed.Load())
				}
				held.Release()
			}
		})
	}
	for n := range swaps {
		before := answers.Load()
		next := variant.Built{Model: "m", Ratio: 0.2, Digest: fmt.Sprintf("file%d", n), Stage: variant.Refined}
		if err := b.Swap(next); err != nil {
			t.Fatal(err)
		}
		polltest.Within(t, 30*time.Second, func() error {
			if answers.Load() == before {
				return errors.New("nothing answers after a swap")
			}
			return nil
		})
		if held := b.acquireNow(t, openapi.ModelName{Base: "m"}); held.Digest != next.Digest || held.Stage != next.Stage {
			t.Errorf("after swap %d %s %s answers", n, held.Stage, held.Digest)
		} else {
			held.Release()
		}
	}
	close(stop)
	running.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	open := 0
	for _, e := range b.engines {
		if !e.closed.Load() {
			open++
		}
	}
	if open != 1 || len(b.engines) != swaps+1 {
		t.Errorf("%d of %d engines are open, want one of %d", open, len(b.engines), swaps+1)
	}
}

// A file that another ratio has loaded already answers for this one too after a swap, on the same engine.
func TestSwapToALoadedFile(t *testing.T) {
	b := newBench(t, nil)
	close(b.gate)
	b.Start(t.Context())
	b.waitReady(t)
	old := b.loadedNow(0.2)
	b.acquireNow(t, at(0.3)).Release()
	shared := b.loadedNow(0.3)
	if err := b.Swap(variant.Built{Model: "m", Ratio: 0.2, Digest: shared.built.Digest}); err != nil {
		t.Fatal(err)
	}
	if b.loadedNow(0.2) != shared || !old.Engine.(*fakeEngine).closed.Load() || len(b.engines) != 2 {
		t.Errorf("%d engines, want the one that is loaded for both ratios and the old one closed", len(b.engines))
	}
}

// The hook tells when builds begin and end, so that other work can give way to them.
func TestOnMake(t *testing.T) {
	var made []bool
	b := newBench(t, func(o *Options) { o.Hooks.OnMake = func(making bool) { made = append(made, making) } })
	close(b.gate)
	b.acquireNow(t, at(0.3)).Release()
	b.acquireNow(t, at(0.3)).Release()
	b.acquireNow(t, at(0.4)).Release()
	if diff := cmp.Diff([]bool{true, false, true, false}, made); diff != "" {
		t.Errorf("two builds and a loaded variant (-want +got):\n%s", diff)
	}
}

// Status and the administrators' view say which file answers, and what replaces it next.
func TestStageInViews(t *testing.T) {
	b := newBench(t, func(o *Options) {
		o.Model.ServeDense = true
		build := o.Work.Build
		o.Work.Build = func(ctx context.Context, ratio float64, progress func(variant.Progress)) (variant.Built, error) {
			if ratio == 0 {
				return variant.Built{Model: "m", Digest: "dense", Stage: variant.Dense}, nil
			}
			built, err := build(ctx, ratio, progress)
			built.Stage = variant.Quick
			return built, err
		}
	})
	b.Announce("refined")
	b.Start(t.Context())
	polltest.Within(t, 30*time.Second, func() error {
		if s := b.Status(); s.Stage != variant.Dense || s.Next != "" {
			return fmt.Errorf("while it is made: %+v", s)
		}
		return nil
	})
	close(b.gate)
	polltest.Within(t, 30*time.Second, func() error {
		if s := b.Status(); s.Stage != variant.Quick || s.Next != "refined" {
			return fmt.Errorf("after it is made: %+v", s)
		}
		return nil
	})
	for _, v := range b.Variants() {
		if v.Startup != (v.Next == "refined") || v.Card == nil || v.Card.Stage == "" {
			t.Errorf("variant %+v with card %+v", v, v.Card)
		}
	}
	if built, ok := b.Serving(0.2); !ok || built.Stage != variant.Quick {
		t.Errorf("Serving(0.2) = %+v, %t", built, ok)
	}
	if built, ok := b.Serving(0.4); ok {
		t.Errorf("Serving(0.4) = %+v, want none", built)
	}
}
