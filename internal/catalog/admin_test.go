package catalog

import (
	"context"
	"errors"
	"testing"

	"prunellm/internal/variant"
	"prunellm/openapi"
	"prunellm/server"
)

// described returns the result of Variants by id.
func described(c *Catalog) map[string]openapi.AdminVariant {
	out := map[string]openapi.AdminVariant{}
	for _, v := range c.Variants() {
		out[v.ID] = v
	}
	return out
}

func TestAdmin(t *testing.T) {
	removed := make(chan string, 8)
	b := newBench(t, func(o *Options) { o.Work.Remove = removeInto(removed) })
	made, err := b.Make(0.3)
	if err != nil || made.State != "making" || made.ID != "m@0.3" {
		t.Fatalf("Make(0.3) = %+v, %v", made, err)
	}
	var conflict *server.ConflictError
	if err := b.Delete(at(0.3)); !errors.As(err, &conflict) {
		t.Errorf("Delete of a variant that is being made = %v, want a ConflictError", err)
	}
	close(b.gate)
	b.acquireNow(t, at(0.3)).Release()
	if v, err := b.Pin(at(0.3), true); err != nil || v.State != "loaded" || !v.Pinned || v.Card == nil {
		t.Errorf("Pin = %+v, %v", v, err)
	}
	anyModel := at(0.3)
	anyModel.Base = openapi.AnyModel
	if _, err := b.Pin(anyModel, true); err != nil {
		t.Errorf("pin %s: %v", anyModel, err)
	}
	if _, err := b.Pin(at(0.7), true); !errors.Is(err, server.ErrModelNotFound) {
		t.Errorf("Pin of an unknown ratio = %v", err)
	}
	// Two variants fit. The pinned one stays although it was used least recently.
	for _, ratio := range []float64{0.4, 0.5, 0.4} {
		b.acquireNow(t, at(ratio)).Release()
	}
	if got := described(b.Catalog); got["m@0.3"].State != "loaded" || got["m@0.5"].State == "loaded" {
		t.Errorf("variants = %+v, want the pinned one loaded", got)
	}
	held := b.acquireNow(t, at(0.4))
	if err := b.Delete(at(0.4)); err != nil {
		t.Fatal(err)
	}
	if _, there := described(b.Catalog)["m@0.4"]; there || <-removed != "0.400" {
		t.Error("a deleted variant is still there")
	}
	last := b.engines[len(b.engines)-1]
	if last.closed.Load() {
		t.Error("Delete closed a variant in use")
	}
	if held.Release(); !last.closed.Load() {
		t.Error("a deleted variant without users is still open")
	}
	if err := b.Delete(at(0.2)); !errors.As(err, &conflict) {
		t.Errorf("Delete of the startup variant = %v, want a ConflictError", err)
	}
}

func TestAdminRemembersFailures(t *testing.T) {
	b := newBench(t, nil)
	b.failing.Store(true)
	close(b.gate)
	if _, err := b.Acquire(t.Context(), at(0.3)); err == nil {
		t.Fatal("a failing build gave a variant")
	}
	if got := described(b.Catalog)["m@0.3"]; got.State != "failed" || got.Error == "" {
		t.Errorf("variant = %+v, want it failed", got)
	}
	b.failing.Store(false)
	b.acquireNow(t, at(0.3)).Release()
	if got := described(b.Catalog)["m@0.3"]; got.State != "loaded" || got.Error != "" {
		t.Errorf("variant = %+v, want it loaded", got)
	}
}

// No matter how many ratios fail, the list stays bounded and contains the last failure and the server's own variant.
func TestAdminForgetsFailures(t *testing.T) {
	b := newBench(t, func(o *Options) { o.Model.ServeDense = true })
	b.failing.Store(true)
	close(b.gate)
	last := 0.0
	for i := range 3 * maxFailures {
		last = b.options.Model.Startup + float64(i)/1000
		if _, err := b.Acquire(t.Context(), at(last)); err == nil {
			t.Fatalf("a failing build of %v gave a variant", last)
		}
	}
	got := b.Variants()
	if len(got) != maxFailures {
		t.Errorf("%d variants are listed, want the %d that are remembered", len(got), maxFailures)
	}
	for _, ratio := range []float64{b.options.Model.Startup, last} {
		if v := described(b.Catalog)[variant.Name("m", ratio)]; v.State != openapi.StateFailed || v.Error == "" {
			t.Errorf("variant %v = %+v, want it failed", ratio, v)
		}
	}
}

// Ratios that keep the same neurons share an engine. Deleting one ratio keeps the engine for the other.
func TestAdminDeleteOfAShared(t *testing.T) {
	b := newBench(t, func(o *Options) { o.Limits.MaxMade = 2 })
	close(b.gate)
	b.acquireNow(t, at(0.3)).Release()
	b.acquireNow(t, at(0.3001)).Release()
	if err := b.Delete(at(0.3001)); err != nil {
		t.Fatal(err)
	}
	if got := described(b.Catalog)["m@0.3"]; got.State != "loaded" || len(b.engines) != 1 {
		t.Errorf("variant = %+v, %d engines", got, len(b.engines))
	}
	b.acquireNow(t, at(0.4)).Release()
	var notReady *server.NotReadyError
	if _, err := b.Acquire(t.Context(), at(0.5)); !errors.As(err, &notReady) {
		t.Errorf("Acquire of one more = %v, want a NotReadyError, because the remaining file counts", err)
	}
}

func removeInto(removed chan<- string) func(context.Context, variant.Built) error {
	return func(_ context.Context, built variant.Built) error {
		removed <- built.Digest
		return nil
	}
}
