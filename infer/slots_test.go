package infer

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"prunellm/internal/polltest"
)

// Slots and Stats show a request on its way: its prompt in steps of the batch size, then its answer token by token. The
// sequence keeps its cache for later prompts, which counts as free.
func TestSlots(t *testing.T) {
	f := newFake(2, 64, 4)
	f.script = say(6, "ab")
	f.gate, f.began = make(chan struct{}), make(chan struct{}, 100)
	e := New(f, Options{}, nil)
	defer closeEngine(t, e)
	idle := []Slot{{}, {}}
	if diff := cmp.Diff(idle, e.Slots()); diff != "" {
		t.Errorf("slots before any request (-want +got):\n%s", diff)
	}
	g, err := e.Submit(context.Background(), Request{Prompt: prompt("prompt"), MaxTokens: 9, Logprobs: -1})
	if err != nil {
		t.Fatal(err)
	}
	for step, want := range []Slot{
		{Busy: true, Prompt: 6, MaxTokens: 9},
		{Busy: true, Prompt: 6, MaxTokens: 9, Cached: 4, Prefilled: 4},
		{Busy: true, Prompt: 6, MaxTokens: 9, Cached: 6, Prefilled: 6, Generated: 1},
		{Busy: true, Prompt: 6, MaxTokens: 9, Cached: 7, Prefilled: 6, Generated: 2},
	} {
		<-f.began
		if diff := cmp.Diff([]Slot{want, {}}, e.Slots()); diff != "" {
			t.Errorf("slots in step %d (-want +got):\n%s", step, diff)
		}
		if s := e.Stats(); s.CacheTokens != want.Cached || s.CacheSize != 128 || s.Running != 1 {
			t.Errorf("stats in step %d: %+v, want %d of 128 tokens in use", step, s, want.Cached)
		}
		f.gate <- struct{}{}
	}
	if got := readAll(g); got.text != "ab" || got.err != nil {
		t.Fatalf("answer %q, %v", got.text, got.err)
	}
	polltest.Within(t, 10*time.Second, func() error {
		if diff := cmp.Diff([]Slot{{Cached: 8}, {}}, e.Slots()); diff != "" || e.Stats().CacheTokens != 0 {
			return errSlots(diff)
		}
		return nil
	})
}

type errSlots string

func (e errSlots) Error() string { return "slots after the answer (-want +got):\n" + string(e) }
