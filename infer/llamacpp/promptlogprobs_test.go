package llamacpp

import (
	"context"
	"math"
	"testing"

	"prunellm/infer"
)

// The real model gives its own answer the same log probabilities in a prompt as when it generated the answer.
func TestPromptLogprobsOfARealModel(t *testing.T) {
	e := startEngine(t, 2)
	prompt, err := e.Tokenize("The capital of France is", true, true)
	if err != nil {
		t.Fatal(err)
	}
	g, err := e.Submit(context.Background(), infer.Request{Prompt: prompt, MaxTokens: 80, Logprobs: 1, IgnoreEOS: true})
	if err != nil {
		t.Fatal(err)
	}
	whole, written := prompt, []infer.TokenInfo(nil)
	for {
		chunk, err := g.Next(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		for _, token := range chunk.Tokens {
			whole = append(whole, token.Token)
			written = append(written, token)
		}
		if chunk.Finish != "" {
			break
		}
	}
	if g, err = e.Submit(context.Background(), infer.Request{Prompt: whole, Logprobs: 1, PromptLogprobs: true}); err != nil {
		t.Fatal(err)
	}
	chunk, err := g.Next(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if len(chunk.Prompt) != len(whole) || len(written) < 40 {
		t.Fatalf("%d of %d tokens described", len(chunk.Prompt), len(whole))
	}
	for i, want := range written {
		got := chunk.Prompt[len(whole)-len(written)+i]
		// Prompts use other kernels than single tokens, which sum in another order.
		if got.Token != want.Token || math.Abs(got.Logprob-want.Logprob) > 0.05 {
			t.Errorf("token %d: %d with %.5f, generated as %d with %.5f", i, got.Token, got.Logprob, want.Token, want.Logprob)
		}
	}
}
