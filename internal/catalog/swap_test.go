package catalog

import (
	"context"
	"errors"
	"testing"

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

func TestImprove(t *testing.T) {
	b := newBench(t, nil)
	trained := variant.Built{Model: "m", Ratio: 0.2, Digest: "trained"}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Improve(ctx, b.Catalog, 0.2, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("Improve before the variant is loaded = %v, want it to wait until the context ends", err)
	}
	close(b.gate)
	b.Start(t.Context())
	b.waitReady(t)
	if err := Improve(t.Context(), b.Catalog, 0.2, func() (variant.Built, bool, error) { return trained, false, nil }); err != nil || b.loadedNow(0.2).built.Digest == "trained" {
		t.Errorf("a variant that is not better: %v, want the old one to stay", err)
	}
	if err := Improve(t.Context(), b.Catalog, 0.2, func() (variant.Built, bool, error) { return trained, true, nil }); err != nil || b.loadedNow(0.2).built.Digest != "trained" {
		t.Errorf("a better variant: %v, want it to be loaded", err)
	}
}
