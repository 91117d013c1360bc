package llamacpp

import (
	"context"
	"math"
	"slices"
	"sync"
	"testing"

	"prunellm/infer"
	"prunellm/internal/tinymodel"
	"prunellm/models/gguf"
)

func dot(a, b []float32) float64 {
	sum := 0.0
	for i, x := range a {
		sum += float64(x) * float64(b[i])
	}
	return sum
}

// Texts with similar meanings have more similar vectors than other texts.
func TestEmbedSimilarity(t *testing.T) {
	e := startEngine(t, 2)
	var prompts [][]infer.Token
	for _, text := range []string{"The cat sleeps on the sofa.", "A kitten is napping on the couch.", "Quarterly tax returns are due in April."} {
		tokens, err := e.Tokenize(text, true, true)
		if err != nil {
			t.Fatal(err)
		}
		prompts = append(prompts, tokens)
	}
	vectors, _, err := e.Embed(context.Background(), prompts)
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range vectors {
		if len(v) != 576 || math.Abs(dot(v, v)-1) > 1e-5 {
			t.Errorf("vector %d has %d elements and length^2 %g, want 576 and 1", i, len(v), dot(v, v))
		}
	}
	if same, other := dot(vectors[0], vectors[1]), dot(vectors[0], vectors[2]); same <= other {
		t.Errorf("similarity of two cats %.3f, of cat and taxes %.3f", same, other)
	}
}

// A vector has the same bits alone and in batches with answers, and embeddings do not change the answers.
func TestEmbedDoesNotDependOnTheBatch(t *testing.T) {
	for _, kind := range []gguf.Type{gguf.F32, gguf.Q8_0} {
		path := tiny(t, tinymodel.Options{Type: kind})
		start := func(sequences int) *infer.Engine {
			m, err := Open(context.Background(), path, Options{ContextSize: 256, Sequences: sequences, Threads: 2})
			if err != nil {
				t.Fatal(err)
			}
			return infer.New(m, infer.Options{SharedChunk: 7}, nil)
		}
		long := make([]infer.Token, 150)
		for i := range long {
			long[i] = infer.Token(i * 7 % 90)
		}
		question := infer.Request{Prompt: long[:20], MaxTokens: 60, IgnoreEOS: true, Logprobs: -1, Sampling: infer.Sampling{Temperature: 1, Seed: 3}}
		alone := start(1)
		want, _, err := alone.Embed(context.Background(), [][]infer.Token{long, long[:1]})
		if err != nil {
			t.Fatal(err)
		}
		g, err := alone.Submit(context.Background(), question)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := collect(t, g)
		company := start(4)
		var wg sync.WaitGroup
		answers, err := company.SubmitN(context.Background(), question, 2)
		if err != nil {
			t.Fatal(err)
		}
		for i, g := range answers {
			wg.Go(func() {
				if got, _ := collect(t, g); i == 0 && got != text {
					t.Errorf("%s: an answer in batches with embeddings is %q, alone %q", kind, got, text)
				}
			})
		}
		for range 3 {
			got, _, err := company.Embed(context.Background(), [][]infer.Token{long, long[:1]})
			if err != nil {
				t.Fatal(err)
			}
			for i := range got {
				if !slices.Equal(got[i], want[i]) {
					t.Errorf("%s: vector %d differs in batches with answers", kind, i)
				}
			}
		}
		wg.Wait()
		for _, e := range []*infer.Engine{alone, company} {
			if err := e.Close(context.Background()); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestHiddenRefuses(t *testing.T) {
	m := open(t, tiny(t, tinymodel.Options{}), Options{ContextSize: 256})
	decode(t, m, infer.Entry{Token: 1, Logits: true})
	if m.Hidden(0) != nil {
		t.Error("hidden state of a batch that requested none")
	}
	decode(t, m, infer.Entry{Token: 1, Position: 1}, infer.Entry{Token: 2, Position: 2, Hidden: true})
	for _, index := range []int{-1, 0, 2, 1 << 30} {
		if m.Hidden(index) != nil {
			t.Errorf("hidden state of entry %d, which did not request it", index)
		}
	}
	if got := m.Hidden(1); len(got) != m.HiddenSize() {
		t.Errorf("%d elements, want %d", len(got), m.HiddenSize())
	}
}

// n answers of the real backend have the same texts as n separate requests.
func TestSubmitN(t *testing.T) {
	req := func(e *infer.Engine) infer.Request {
		return infer.Request{Prompt: chat(t, e, "Name a colour."), MaxTokens: 12, Logprobs: -1, Sampling: infer.Sampling{Temperature: 1.2, Seed: 5}}
	}
	alone, company := startEngine(t, 1), startEngine(t, 3)
	answers, err := company.SubmitN(context.Background(), req(company), 4)
	if err != nil {
		t.Fatal(err)
	}
	for i, g := range answers {
		r := req(alone)
		r.Sampling.Seed += uint64(i)
		single, err := alone.Submit(context.Background(), r)
		if err != nil {
			t.Fatal(err)
		}
		want, _ := collect(t, single)
		if got, last := collect(t, g); got != want || i > 0 && last.Usage.Cached != len(r.Prompt)-1 {
			t.Errorf("answer %d: %q with %+v, want %q", i, got, last.Usage, want)
		}
	}
}
