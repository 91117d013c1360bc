package variant_test

import (
	"errors"
	"testing"
	"time"

	"prunellm/internal/store"
	"prunellm/internal/variant"
)

// A speed belongs to one variant and one kind of machine. A damaged one counts as not found.
func TestSpeed(t *testing.T) {
	w := newWorkshop(t, t.TempDir())
	built, other := w.build(t, spec(0.2)), w.build(t, spec(0.1))
	const measured = 1796000000 // seconds since 1970
	speed := variant.NewSpeed(250*time.Millisecond, 5*time.Millisecond, 200, measured)
	if speed.OutputTokensPerSecond != 200 || speed.TTFT() != 250*time.Millisecond || speed.ITL() != 5*time.Millisecond {
		t.Fatalf("speed = %+v", speed)
	}
	speed.TTFTSpread, speed.ITLSpread = 0.1, 0.02
	if speed.MeasuredAt != measured {
		t.Errorf("measured at %d, want %d", speed.MeasuredAt, measured)
	}
	if err := w.KeepSpeed(t.Context(), built, "a machine", speed); err != nil {
		t.Fatal(err)
	}
	if got, err := w.Speed(t.Context(), built, "a machine"); err != nil || got != speed {
		t.Errorf("Speed = %+v, %v, want %+v", got, err, speed)
	}
	if _, err := w.Speed(t.Context(), built, "another machine"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Speed on another machine = %v, want ErrNotFound", err)
	}
	if _, err := w.Speed(t.Context(), other, "a machine"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Speed of another variant = %v, want ErrNotFound", err)
	}
	if err := w.KeepSpeed(t.Context(), other, "a machine", variant.Speed{}); err == nil {
		t.Error("KeepSpeed accepts a speed of zero")
	}
	digest, err := w.Model.Digest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	keys, err := w.Store.List(t.Context(), digest, store.KindCard)
	if err != nil || len(keys) != 1 {
		t.Fatalf("keys = %v, %v, want one", keys, err)
	}
	if err := w.Store.Put(t.Context(), keys[0], []byte(`{"ttft_ms": -1}`)); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Speed(t.Context(), built, "a machine"); !errors.Is(err, store.ErrNotFound) || w.corrupt != 1 {
		t.Errorf("damaged speed = %v, %d corrupt, want ErrNotFound and 1", err, w.corrupt)
	}
}

func FuzzDecodeSpeed(f *testing.F) {
	f.Add([]byte(`{"ttft_ms": 250, "itl_ms": 5, "output_tokens_per_second": 200, "prompt_tokens": 200}`))
	f.Add([]byte(`{"ttft_ms": 1e999}`))
	f.Fuzz(func(t *testing.T, value []byte) {
		speed, err := variant.DecodeSpeed(value)
		if err == nil && !(speed.TTFT() >= 0 && speed.ITL() >= 0 && speed.OutputTokensPerSecond > 0) {
			t.Errorf("DecodeSpeed(%q) = %+v", value, speed)
		}
	})
}
