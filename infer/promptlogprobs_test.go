package infer

import (
	"context"
	"errors"
	"math"
	"testing"
)

// described returns the prompt tokens of the first chunk, and the chunks after it.
func described(t *testing.T, e *Engine, req Request) ([]TokenInfo, Chunk) {
	t.Helper()
	g, err := e.Submit(context.Background(), req)
	if err != nil {
		t.Fatal(err)
	}
	chunk, err := g.Next(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return chunk.Prompt, chunk
}

// A generated text has the same log probabilities when it is scored as a prompt, with steps of any size and with a prompt
// cache.
func TestPromptLogprobs(t *testing.T) {
	e := New(newFake(2, 512, 200), Options{}, nil)
	defer closeEngine(t, e)
	said := ask(t, e, Request{Prompt: prompt("a question"), MaxTokens: 150, Logprobs: 3, IgnoreEOS: true})
	if said.err != nil || len(said.tokens) != 150 {
		t.Fatalf("answer: %d tokens, %v", len(said.tokens), said.err)
	}
	whole := prompt("a question")
	for _, token := range said.tokens {
		whole = append(whole, token.Token)
	}
	for range 2 {
		got, chunk := described(t, e, Request{Prompt: whole, MaxTokens: 0, Logprobs: 3, PromptLogprobs: true})
		if chunk.Finish != FinishLength || chunk.Usage.Completion != 0 || chunk.Usage.Cached != 0 || len(chunk.Tokens) != 0 {
			t.Errorf("chunk without an answer = %+v", chunk)
		}
		if len(got) != len(whole) || !math.IsNaN(got[0].Logprob) || got[0].Token != whole[0] {
			t.Fatalf("%d tokens described, the first %+v, want %d and no log probability", len(got), got[0], len(whole))
		}
		for i, want := range said.tokens {
			have := got[len(whole)-150+i]
			if have.Token != want.Token || math.Abs(have.Logprob-want.Logprob) > 1e-6 || len(have.Top) != 3 || have.Top[0].Token != want.Top[0].Token {
				t.Fatalf("token %d = %+v, want %+v", i, have, want)
			}
		}
	}
}

// If the request also wants an answer, the first chunk has the prompt's log probabilities, and the answer does not change.
func TestPromptLogprobsThenAnswer(t *testing.T) {
	e := New(newFake(1, 128, 16), Options{}, nil)
	defer closeEngine(t, e)
	req := Request{Prompt: prompt("another question, longer than a step"), MaxTokens: 4, Logprobs: 0}
	want := ask(t, e, req)
	req.PromptLogprobs = true
	all, err := e.SubmitN(context.Background(), req, 2)
	if err != nil {
		t.Fatal(err)
	}
	for i, g := range all {
		first, err := g.Next(context.Background())
		if err != nil || len(first.Prompt) != len(req.Prompt) {
			t.Fatalf("answer %d describes %d tokens, %v", i, len(first.Prompt), err)
		}
		rest := readAll(g)
		if got := first.Text + rest.text; got != want.text {
			t.Errorf("answer %d = %q, want %q", i, got, want.text)
		}
	}
	var refused *ParameterError
	if _, err := e.Submit(context.Background(), Request{Prompt: prompt("x"), PromptLogprobs: true, Logprobs: -1}); !errors.As(err, &refused) {
		t.Errorf("log probabilities of only the prompt: %v, want a ParameterError", err)
	}
}
