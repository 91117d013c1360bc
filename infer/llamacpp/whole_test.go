package llamacpp

import (
	"context"
	"testing"

	"prunellm/infer"
	"prunellm/internal/tinymodel"
)

// A prompt of exactly the context fits every sequence of llama.cpp, also the second time.
func TestPromptOfExactlyTheContext(t *testing.T) {
	const size, sequences = 256, 3
	m := open(t, tiny(t, tinymodel.Options{}), Options{ContextSize: size, Sequences: sequences})
	e := infer.New(m, infer.Options{}, nil)
	defer func() { _ = e.Close(context.Background()) }()
	prompts := make([][]infer.Token, 2*sequences)
	for i := range prompts {
		for j := range size {
			prompts[i] = append(prompts[i], infer.Token((i+j)%64))
		}
	}
	for range 2 {
		vectors, usage, err := e.Embed(context.Background(), prompts)
		if err != nil || len(vectors) != len(prompts) || usage.Prompt != len(prompts)*size {
			t.Fatalf("Embed: %d vectors, %+v, %v", len(vectors), usage, err)
		}
	}
	stream, err := e.Submit(context.Background(), infer.Request{Prompt: prompts[0], PromptLogprobs: true})
	if err != nil {
		t.Fatal(err)
	}
	if chunk, err := stream.Next(context.Background()); err != nil || len(chunk.Prompt) != size {
		t.Fatalf("echo: %d tokens described, %v", len(chunk.Prompt), err)
	}
}
