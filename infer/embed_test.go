package infer

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
)

func TestEmbed(t *testing.T) {
	f := newFake(2, 256, 128)
	e := New(f, Options{}, nil)
	defer closeEngine(t, e)
	prompts := [][]Token{prompt("a"), prompt("cab"), prompt(strings.Repeat("xyz", 70)), prompt("cab"), prompt("cabs")}
	vectors, usage, err := e.Embed(context.Background(), prompts)
	if err != nil || len(vectors) != len(prompts) {
		t.Fatalf("Embed: %d vectors, %v", len(vectors), err)
	}
	tokens := 0
	for i, p := range prompts {
		mean := 0.0
		for _, token := range p {
			mean += float64(token) / float64(len(p))
		}
		tokens += len(p)
		// The fake's hidden states are (token, 1).
		length := math.Hypot(mean, 1)
		if v := vectors[i]; math.Abs(float64(v[0])-mean/length) > 1e-6 || math.Abs(float64(v[1])-1/length) > 1e-6 {
			t.Errorf("vector %d = %v, want %v", i, v, []float64{mean / length, 1 / length})
		}
	}
	if usage != (Usage{Prompt: tokens}) {
		t.Errorf("usage %+v, want %d prompt tokens", usage, tokens)
	}
	for _, entries := range f.seen() {
		if len(entries) > 2*embedChunk {
			t.Errorf("a step of %d entries, want at most %d for each of 2 prompts", len(entries), embedChunk)
		}
	}
	if s := e.Stats(); s.CachedTokens != 0 || s.CompletionTokens != 0 {
		t.Errorf("stats %+v, want nothing cached or generated", s)
	}
}

func TestEmbedRefuses(t *testing.T) {
	e := New(newFake(1, 16, 16), Options{}, nil)
	defer closeEngine(t, e)
	var parameter *ParameterError
	var long *ContextError
	if _, _, err := e.Embed(context.Background(), [][]Token{prompt("a"), nil}); !errors.As(err, &parameter) || !strings.Contains(err.Error(), "input 1") {
		t.Errorf("an empty prompt: %v, want a ParameterError of input 1", err)
	}
	if _, _, err := e.Embed(context.Background(), [][]Token{prompt(strings.Repeat("a", 17))}); !errors.As(err, &long) || !long.Whole {
		t.Errorf("a prompt longer than the context: %v, want a ContextError of the whole context", err)
	}
	if vectors, _, err := e.Embed(context.Background(), nil); err != nil || len(vectors) != 0 {
		t.Errorf("no prompts: %v, %v", vectors, err)
	}
}

// If there are more prompts than the queue can hold, the rest wait for earlier ones.
func TestEmbedBeyondTheQueue(t *testing.T) {
	e := New(newFake(4, 64, 16), Options{MaxQueue: 2}, nil)
	defer closeEngine(t, e)
	prompts := make([][]Token, 50)
	for i := range prompts {
		prompts[i] = prompt(strings.Repeat("b", 1+i))
	}
	if vectors, _, err := e.Embed(context.Background(), prompts); err != nil || len(vectors) != 50 {
		t.Errorf("%d vectors, %v", len(vectors), err)
	}
}

func TestEmbedCancelled(t *testing.T) {
	f := newFake(1, 256, 16)
	f.gate, f.began = make(chan struct{}), make(chan struct{}, 100)
	e := New(f, Options{}, nil)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		_, _, err := e.Embed(ctx, [][]Token{prompt(strings.Repeat("a", 200)), prompt("b")})
		ended <- err
	}()
	<-f.began
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Embed: %v, want canceled", err)
	}
	close(f.gate)
	closeEngine(t, e)
	if n := len(f.seen()); n > 2 {
		t.Errorf("%d steps for a client that disconnected in the first", n)
	}
}
