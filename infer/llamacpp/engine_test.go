package llamacpp

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"

	"prunellm/infer"
)

// collect reads an answer to its end. It returns its text and its last chunk.
func collect(tb testing.TB, g infer.Generation) (string, infer.Chunk) {
	tb.Helper()
	var text strings.Builder
	var last infer.Chunk
	for {
		c, err := g.Next(context.Background())
		if errors.Is(err, io.EOF) {
			return text.String(), last
		}
		if err != nil {
			tb.Errorf("Next: %v", err)
			return text.String(), last
		}
		text.WriteString(c.Text)
		last = c
	}
}

func startEngine(t *testing.T, sequences int) *infer.Engine {
	t.Helper()
	m, err := Open(context.Background(), defaultModel(t), Options{ContextSize: 512, Sequences: sequences, Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	e := infer.New(m, infer.Options{PrefillChunk: 64, SharedChunk: 16}, nil)
	t.Cleanup(func() {
		if err := e.Close(context.Background()); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return e
}

func chat(t *testing.T, e *infer.Engine, question string) []infer.Token {
	t.Helper()
	tokens, err := e.Tokenize("<|im_start|>user\n"+question+"<|im_end|>\n<|im_start|>assistant\n", true, true)
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

func TestEngineAnswers(t *testing.T) {
	e := startEngine(t, 1)
	g, err := e.Submit(context.Background(), infer.Request{Prompt: chat(t, e, "What is the capital of France?"), MaxTokens: 30, Logprobs: -1})
	if err != nil {
		t.Fatal(err)
	}
	if text, last := collect(t, g); !strings.Contains(text, "Paris") || last.Finish != infer.FinishStop {
		t.Errorf("got %q, %+v", text, last)
	}
}

// The same seed gives the same text alone, in batches with others, and after a cached prefix.
func TestSeedDecidesTheText(t *testing.T) {
	question := "Write three sentences about the sea. " + strings.Repeat("Mind the ships and the gulls. ", 6)
	request := func(e *infer.Engine, temperature float64) infer.Request {
		return infer.Request{
			Prompt: chat(t, e, question), MaxTokens: 40, Logprobs: -1,
			Sampling: infer.Sampling{Temperature: temperature, TopP: 0.95, Seed: 42},
		}
	}
	want := map[float64]string{}
	alone := startEngine(t, 1)
	for _, temperature := range []float64{0, 1} {
		g, err := alone.Submit(context.Background(), request(alone, temperature))
		if err != nil {
			t.Fatal(err)
		}
		want[temperature], _ = collect(t, g)
	}
	company := startEngine(t, 4)
	var wg sync.WaitGroup
	for i := range 12 {
		r := request(company, float64(i%2))
		if i%4 >= 2 {
			r.Prompt = chat(t, company, strings.Repeat("Something else entirely. ", i))
			r.MaxTokens = 3 * i
		}
		g, err := company.Submit(context.Background(), r)
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			text, last := collect(t, g)
			if i%4 < 2 && text != want[float64(i%2)] {
				t.Errorf("request %d, %d tokens from the cache: %q, alone it was %q", i, last.Usage.Cached, text, want[float64(i%2)])
			}
		})
	}
	wg.Wait()
	if company.Stats().CachedTokens == 0 {
		t.Error("no request took a prefix from the cache")
	}
}
