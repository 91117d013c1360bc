package infer

import (
	"context"
	"errors"
	"strings"
	"testing"
)

// If nothing is generated, a prompt may fill the whole context. This also holds for the next prompts.
func TestPromptOfExactlyTheContext(t *testing.T) {
	const size = 32
	e := New(newFake(2, size, 16), Options{}, nil)
	defer closeEngine(t, e)
	whole := prompt(strings.Repeat("a", size))
	for range 2 {
		vectors, usage, err := e.Embed(context.Background(), [][]Token{whole, whole})
		if err != nil || len(vectors) != 2 || usage.Prompt != 2*size {
			t.Fatalf("Embed: %d vectors, %+v, %v", len(vectors), usage, err)
		}
		stream, err := e.Submit(context.Background(), Request{Prompt: whole, PromptLogprobs: true, Logprobs: 0})
		if err != nil {
			t.Fatal(err)
		}
		chunk, err := stream.Next(context.Background())
		if err != nil || len(chunk.Prompt) != size || chunk.Finish != FinishLength || chunk.Usage.Completion != 0 {
			t.Fatalf("echo: %d tokens described, finish %q, %+v, %v", len(chunk.Prompt), chunk.Finish, chunk.Usage, err)
		}
	}
	var long *ContextError
	if _, err := e.Submit(context.Background(), Request{Prompt: append(whole, whole[0]), PromptLogprobs: true}); !errors.As(err, &long) || !long.Whole {
		t.Errorf("echo of a longer prompt: %v, want a ContextError of the whole context", err)
	}
	if _, err := e.Submit(context.Background(), Request{Prompt: whole, MaxTokens: 1, Logprobs: -1}); !errors.As(err, &long) || long.Whole {
		t.Errorf("an answer to a prompt that leaves no room: %v, want a ContextError", err)
	}
}
