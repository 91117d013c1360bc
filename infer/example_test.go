package infer

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// A decoder that always answers the same replaces a model.
func ExampleEngine() {
	model := newFake(2, 64, 16)
	model.script = say(len("Who is there?"), "Nobody. Go away.")
	engine := New(model, Options{}, nil)
	defer engine.Close(context.Background())

	tokens, _ := engine.Tokenize("Who is there?", true, true)
	answer, err := engine.Submit(context.Background(), Request{Prompt: tokens, MaxTokens: 20, Stop: []string{" Go"}, Logprobs: -1})
	if err != nil {
		fmt.Println(err)
		return
	}
	for {
		chunk, err := answer.Next(context.Background())
		if errors.Is(err, io.EOF) {
			return
		}
		fmt.Print(chunk.Text)
		if chunk.Finish != "" {
			fmt.Printf(" (%s after %d tokens)\n", chunk.Finish, chunk.Usage.Completion)
		}
	}
	// Output: Nobody. (stop after 10 tokens)
}
