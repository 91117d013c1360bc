package llamacpp

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"prunellm/infer"
)

// BenchmarkDrafts answers the prompts of testdata/drafts with and without drafts, in turns, one at a time, and checks that both
// give the same answer. The metrics: x is the tokens/s with drafts, in those without, for the answers' tokens after the first;
// accepted is the share of drafted tokens that the model accepted. A prompt that repeats nothing must not be slower by more
// than 3%.
func BenchmarkDrafts(b *testing.B) {
	files, err := filepath.Glob("testdata/drafts/*.txt")
	if err != nil || len(files) == 0 {
		b.Fatalf("no prompts: %v", err)
	}
	for _, file := range files {
		question, err := os.ReadFile(file)
		if err != nil {
			b.Fatal(err)
		}
		for _, temperature := range []float64{0, 0.7} {
			b.Run(fmt.Sprintf("%s/temperature=%g", strings.TrimSuffix(filepath.Base(file), ".txt"), temperature), func(b *testing.B) {
				benchDrafts(b, string(question), temperature)
			})
		}
	}
}

func benchDrafts(b *testing.B, question string, temperature float64) {
	var engines [2]*infer.Engine
	for i, drafts := range []int{0, 16} {
		m, err := Open(context.Background(), benchModel(b), Options{ContextSize: 4096, GPULayers: benchLayers(b)})
		if err != nil {
			b.Fatal(err)
		}
		engines[i] = infer.New(m, infer.Options{DraftMax: drafts}, nil)
		defer engines[i].Close(context.Background())
	}
	prompt, err := engines[0].Tokenize("<|im_start|>user\n"+strings.TrimSpace(question)+"<|im_end|>\n<|im_start|>assistant\n", true, true)
	if err != nil {
		b.Fatal(err)
	}
	answer := func(e *infer.Engine, seed uint64) (string, infer.Usage, time.Duration) {
		g, err := e.Submit(context.Background(), infer.Request{
			Prompt: prompt, MaxTokens: 800, Logprobs: -1, Sampling: infer.Sampling{Temperature: temperature, TopP: 0.95, Seed: seed},
		})
		if err != nil {
			b.Fatal(err)
		}
		first, err := g.Next(context.Background())
		if err != nil {
			b.Fatal(err)
		}
		began := time.Now()
		if first.Finish != "" {
			b.Fatal("an answer of one token")
		}
		text, last := collect(b, g)
		return first.Text + text, last.Usage, time.Since(began)
	}
	for _, e := range engines {
		answer(e, 0) // fills the prompt cache
	}
	var took [2]time.Duration
	tokens, drafted, accepted := 0, 0, 0
	for seed := uint64(1); b.Loop(); seed++ {
		var texts [2]string
		for i := range engines {
			turn := (i + int(seed)) % 2
			text, usage, t := answer(engines[turn], seed)
			took[turn] += t
			texts[turn] = text
			tokens, drafted, accepted = tokens+usage.Completion, drafted+usage.Drafted, accepted+usage.Accepted
		}
		if texts[0] != texts[1] {
			b.Fatalf("with drafts %q\nwithout %q", texts[1], texts[0])
		}
		if seed == 1 && os.Getenv("PRUNELLM_BENCH_SHOW") != "" {
			b.Log(texts[0])
		}
	}
	b.ReportMetric(took[0].Seconds()/took[1].Seconds(), "x")
	b.ReportMetric(float64(accepted)/max(float64(drafted), 1), "accepted")
	b.ReportMetric(float64(tokens)/2/float64(b.N), "tokens")
}
