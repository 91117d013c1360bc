package llamacpp

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"prunellm/infer"
)

// BenchmarkDrafts answers the prompts of testdata/drafts with and without drafts, in turns, one at a time, and checks that both
// give the same answer. The metrics: x is the tokens/s with drafts, in those without, for the answers' tokens after the first.
// cpu-x is the same for tokens per second of processor time; with one thread (taskset -c 0) it is reliable on a busy machine.
// accepted is the share of drafted tokens that the model accepted.
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
	used := func() time.Duration { // processor time of all threads
		var r syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
			b.Fatal(err)
		}
		return time.Duration(r.Utime.Nano() + r.Stime.Nano())
	}
	answer := func(e *infer.Engine, seed uint64, tokens int) (text string, usage infer.Usage, took, worked time.Duration) {
		g, err := e.Submit(context.Background(), infer.Request{
			Prompt: prompt, MaxTokens: tokens, Logprobs: -1, Sampling: infer.Sampling{Temperature: temperature, TopP: 0.95, Seed: seed},
		})
		if err != nil {
			b.Fatal(err)
		}
		first, err := g.Next(context.Background())
		if err != nil {
			b.Fatal(err)
		}
		began, before := time.Now(), used()
		if first.Finish != "" {
			return first.Text, first.Usage, 0, 0
		}
		rest, last := collect(b, g)
		return first.Text + rest, last.Usage, time.Since(began), used() - before
	}
	for _, e := range engines {
		answer(e, 0, 1) // fills the prompt cache
	}
	var took, worked [2]time.Duration
	tokens, drafted, accepted := 0, 0, 0
	for seed := uint64(1); b.Loop(); seed++ {
		var texts [2]string
		for i := range engines {
			turn := (i + int(seed)) % 2
			text, usage, t, w := answer(engines[turn], seed, 400)
			took[turn], worked[turn] = took[turn]+t, worked[turn]+w
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
	b.ReportMetric(worked[0].Seconds()/worked[1].Seconds(), "cpu-x")
	b.ReportMetric(float64(accepted)/max(float64(drafted), 1), "accepted")
	b.ReportMetric(float64(tokens)/2/float64(b.N), "tokens")
}
