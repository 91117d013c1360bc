package catalog

import (
	"errors"
	"slices"
	"testing"

	"prunellm/openapi"
	"prunellm/server"
)

// Every name of the model reaches its variants, which answer by the first one.
func TestAliases(t *testing.T) {
	b := newBench(t, func(o *Options) { o.Model.Aliases = []string{"m", "gpt-4o", "org/other:latest"} })
	close(b.gate)
	b.Start(t.Context())
	b.waitReady(t)
	for _, base := range []string{"m", "gpt-4o", "org/other:latest", "org/other", "m:latest", openapi.AnyModel, ""} {
		held := b.acquireNow(t, openapi.ModelName{Base: base})
		if held.Name != "m@0.2" {
			t.Errorf("%q is answered by %s, want m@0.2", base, held.Name)
		}
		held.Release()
	}
	held := b.acquireNow(t, openapi.ModelName{Base: "gpt-4o", Ratio: 0.3, Explicit: true})
	if held.Name != "m@0.3" {
		t.Errorf("gpt-4o@0.3 is answered by %s, want m@0.3", held.Name)
	}
	held.Release()
	for _, base := range []string{"gpt-4", "other", "m:0.5b", "latest"} {
		if _, err := b.Acquire(t.Context(), openapi.ModelName{Base: base}); !errors.Is(err, server.ErrModelNotFound) {
			t.Errorf("Acquire(%s) = %v, want ErrModelNotFound", base, err)
		}
	}
	var ids []string
	for _, m := range b.List() {
		ids = append(ids, m.ID)
		if m.Root != "m" || (m.Card == nil) != (m.ID == "m@0") {
			t.Errorf("entry %+v, want the root m, and the card of what is loaded", m)
		}
	}
	if want := []string{"m", "gpt-4o", "org/other:latest", "m@0", "m@0.2", "m@0.3"}; !slices.Equal(ids, want) {
		t.Errorf("List = %v, want %v", ids, want)
	}
	if _, err := b.Pin(openapi.ModelName{Base: "gpt-4o", Ratio: 0.3, Explicit: true}, true); err != nil {
		t.Errorf("Pin by an alias = %v", err)
	}
}

// Slots are those of the variant that would answer now; none is made for them.
func TestSlotsOfVariants(t *testing.T) {
	b := newBench(t, func(o *Options) { o.Model.ServeDense = true })
	var notReady *server.NotReadyError
	if _, _, err := b.Slots(openapi.ModelName{}); !errors.As(err, &notReady) {
		t.Errorf("Slots before any variant = %v, want a NotReadyError", err)
	}
	close(b.gate)
	b.acquireNow(t, at(0)).Release()
	if name, slots, err := b.Slots(openapi.ModelName{}); name != "m@0" || len(slots) != 2 || err != nil {
		t.Errorf("Slots while the dense model stands in = %s, %v, %v; want two of m@0", name, slots, err)
	}
	if _, _, err := b.Slots(at(0.2)); !errors.As(err, &notReady) {
		t.Errorf("Slots(m@0.2) = %v, want a NotReadyError", err)
	}
	b.acquireNow(t, at(0.2)).Release()
	b.loadedNow(0.2).Engine.(*fakeEngine).running.Store(1)
	if name, slots, err := b.Slots(openapi.ModelName{Base: "m"}); name != "m@0.2" || err != nil || !slots[0].Busy {
		t.Errorf("Slots = %s, %v, %v; want m@0.2 with one busy", name, slots, err)
	}
	if _, _, err := b.Slots(openapi.ModelName{Base: "other"}); !errors.Is(err, server.ErrModelNotFound) {
		t.Errorf("Slots(other) = %v, want ErrModelNotFound", err)
	}
	if builds := b.builds.Load(); builds != 2 {
		t.Errorf("%d builds, want the two that were acquired", builds)
	}
}

// The load is the sum over loaded variants.
func TestLoad(t *testing.T) {
	b := newBench(t, nil)
	close(b.gate)
	if got := b.Load(); got != (server.Load{}) {
		t.Errorf("Load without a variant = %+v", got)
	}
	b.acquireNow(t, at(0.3)).Release()
	b.acquireNow(t, at(0.4)).Release()
	b.engines[0].running.Store(2)
	b.engines[0].queued.Store(5)
	b.engines[1].running.Store(1)
	if got, want := b.Load(), (server.Load{Waiting: 5, Running: 3, CacheTokens: 9, CacheSize: 64}); got != want {
		t.Errorf("Load = %+v, want %+v", got, want)
	}
}
