package infer

import (
	"context"
	"errors"
	"strings"
	"testing"
)

// The n answers equal those of n requests with the same seeds, and the engine prefills the prompt once.
func TestSubmitN(t *testing.T) {
	for _, sequences := range []int{1, 2, 4, 8} {
		req := Request{
			Prompt: prompt(strings.Repeat("question ", 9)), MaxTokens: 20, Logprobs: -1,
			Sampling: Sampling{Temperature: 1.5, Seed: 41},
		}
		var want []answer
		single := New(newFake(1, 256, 32), Options{}, nil)
		for i := range 5 {
			r := req
			r.Sampling.Seed += uint64(i)
			want = append(want, ask(t, single, r))
		}
		closeEngine(t, single)

		f := newFake(sequences, 256, 32)
		e := New(f, Options{}, nil)
		all, err := e.SubmitN(context.Background(), req, 5)
		if err != nil {
			t.Fatal(err)
		}
		for i, g := range all {
			got := readAll(g)
			if got.err != nil || got.text != want[i].text {
				t.Errorf("%d sequences, answer %d: %q, %v, want %q", sequences, i, got.text, got.err, want[i].text)
			}
			if cached := got.usage.Cached; i == 0 && cached != 0 || i > 0 && cached != len(req.Prompt)-1 {
				t.Errorf("%d sequences, answer %d: %d tokens from the cache", sequences, i, cached)
			}
		}
		closeEngine(t, e)
		if s := e.Stats(); s.BatchTokens >= uint64(2*len(req.Prompt)+5*20) {
			t.Errorf("%d sequences: %d entries decoded, the prompt has %d", sequences, s.BatchTokens, len(req.Prompt))
		}
	}
}

// The others continue when the first answer is cancelled during prefill or decode.
func TestSubmitNWithFirstCancelled(t *testing.T) {
	f := newFake(3, 256, 8)
	f.fail = func(step int) error {
		if step == 2 {
			return errors.New("once") // the prompt of the first takes three steps
		}
		return nil
	}
	e := New(f, Options{PrefillChunk: 8}, nil)
	defer closeEngine(t, e)
	all, err := e.SubmitN(context.Background(), Request{Prompt: prompt(strings.Repeat("q", 20)), MaxTokens: 3, Logprobs: -1}, 3)
	if err != nil {
		t.Fatal(err)
	}
	for i, g := range all {
		if got := readAll(g); (got.err != nil) != (i == 0) {
			t.Errorf("answer %d: %v", i, got.err)
		}
	}
}

func TestSubmitNRefuses(t *testing.T) {
	f := newFake(1, 256, 16)
	f.gate = make(chan struct{})
	e := New(f, Options{MaxQueue: 4}, nil)
	req := Request{Prompt: prompt("hi"), MaxTokens: 1, Logprobs: -1}
	var parameter *ParameterError
	for _, n := range []int{0, -1, MaxAnswers + 1, 6} {
		if _, err := e.SubmitN(context.Background(), req, n); !errors.As(err, &parameter) || parameter.Field != "n" {
			t.Errorf("n = %d: %v, want a ParameterError of n", n, err)
		}
	}
	// One runs and four wait.
	all, err := e.SubmitN(context.Background(), req, 5)
	if err != nil {
		t.Errorf("five answers for one sequence and a queue of four: %v", err)
	}
	if _, err := e.SubmitN(context.Background(), req, 5); !errors.Is(err, ErrQueueFull) {
		t.Errorf("five more: %v, want ErrQueueFull", err)
	}
	close(f.gate)
	for _, g := range all {
		if got := readAll(g); got.err != nil {
			t.Error(got.err)
		}
	}
	closeEngine(t, e)
}
