package llamacpp

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"prunellm/infer"
	"prunellm/internal/polltest"
)

// benchModel returns the model of the benchmarks: PRUNELLM_BENCH_MODEL, or the default model.
func benchModel(tb testing.TB) string {
	if path := os.Getenv("PRUNELLM_BENCH_MODEL"); path != "" {
		return path
	}
	return defaultModel(tb)
}

// benchLayers returns how many layers the benchmarks put on a GPU: PRUNELLM_BENCH_GPU_LAYERS, or none; -1 means all.
func benchLayers(tb testing.TB) int {
	text := os.Getenv("PRUNELLM_BENCH_GPU_LAYERS")
	if text == "" {
		return 0
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		tb.Fatal(err)
	}
	return n
}

func reportRate(b *testing.B, tokens int) {
	b.ReportMetric(float64(tokens)/b.Elapsed().Seconds(), "tok/s")
}

// BenchmarkPrefill prefills a prompt in one batch.
func BenchmarkPrefill(b *testing.B) {
	for _, n := range []int{64, 512} {
		b.Run(fmt.Sprintf("tokens=%d", n), func(b *testing.B) {
			m := open(b, benchModel(b), Options{ContextSize: 1024, GPULayers: benchLayers(b)})
			entries := make([]infer.Entry, n)
			for i := range entries {
				entries[i] = infer.Entry{Token: infer.Token(100 + i*7%4000), Position: i, Logits: i == n-1}
			}
			b.ReportAllocs()
			for b.Loop() {
				decode(b, m, entries...)
				forget(b, m)
			}
			reportRate(b, b.N*n)
		})
	}
}

// BenchmarkDecode decodes one token of each of several sequences, up to 256 tokens deep.
func BenchmarkDecode(b *testing.B) {
	for _, n := range []int{1, 2, 4, 8, 16, 32, 64} {
		b.Run(fmt.Sprintf("sequences=%d", n), func(b *testing.B) {
			m := open(b, benchModel(b), Options{ContextSize: 512, Sequences: n, GPULayers: benchLayers(b)})
			benchSteps(b, m, n, 1, 0)
		})
	}
}

// BenchmarkDecodeApart decodes one token of every other sequence, as if the answers of their neighbours had ended.
func BenchmarkDecodeApart(b *testing.B) {
	for _, n := range []int{2, 4, 8} {
		b.Run(fmt.Sprintf("sequences=%d", n), func(b *testing.B) {
			m := open(b, benchModel(b), Options{ContextSize: 512, Sequences: 2 * n, GPULayers: benchLayers(b)})
			benchSteps(b, m, n, 2, 0)
		})
	}
}

// BenchmarkDecodeDeep decodes one token of each sequence after 200 to 255 others, so that the KV cache exceeds the processor's
// caches.
func BenchmarkDecodeDeep(b *testing.B) {
	for _, n := range []int{1, 8, 36} {
		b.Run(fmt.Sprintf("sequences=%d", n), func(b *testing.B) {
			m := open(b, benchModel(b), Options{ContextSize: 256, Sequences: n, GPULayers: benchLayers(b)})
			benchSteps(b, m, n, 1, 200)
		})
	}
}

// benchSteps decodes one token of each of n sequences at every position from first to 255. The sequences' numbers are stride
// apart.
func benchSteps(b *testing.B, m *Model, n, stride, first int) {
	entries := make([]infer.Entry, n)
	step := func(position int) {
		for i := range entries {
			entries[i] = infer.Entry{Token: infer.Token(100 + (position+i)*7%4000), Position: position, Sequence: i * stride, Logits: position >= first}
		}
		decode(b, m, entries...)
	}
	position := 0
	b.ReportAllocs()
	for b.Loop() {
		for position < first { // not measured
			b.StopTimer()
			step(position)
			position++
			b.StartTimer()
		}
		step(position)
		if position++; position == 256 {
			b.StopTimer()
			forget(b, m)
			b.StartTimer()
			position = 0
		}
	}
	reportRate(b, b.N*n)
}

// BenchmarkVerify decodes some tokens of one sequence, as to verify a draft, after 400 others. The metric is the time of such a step,
// in steps with one token, measured in turns.
func BenchmarkVerify(b *testing.B) {
	for _, n := range []int{2, 3, 4, 5, 6, 8, 9, 12, 16, 24, 32} {
		b.Run(fmt.Sprintf("tokens=%d", n), func(b *testing.B) {
			const depth = 400
			m := open(b, benchModel(b), Options{ContextSize: 1024, GPULayers: benchLayers(b)})
			run := func(from, n int, logits bool) time.Duration {
				entries := make([]infer.Entry, n)
				for i := range entries {
					entries[i] = infer.Entry{Token: infer.Token(100 + (from+i)*7%4000), Position: from + i, Logits: logits}
				}
				began := time.Now()
				decode(b, m, entries...)
				return time.Since(began)
			}
			run(0, depth, false)
			var one, all time.Duration
			for b.Loop() {
				one += run(depth, 1, true)
				all += run(depth+1, n, true)
				if err := m.SequenceRemove(0, depth, -1); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(all.Seconds()/one.Seconds(), "steps")
		})
	}
}

// BenchmarkBurst decodes prompts of 100 to 130 tokens that arrive at once, in batches as large as the model takes.
func BenchmarkBurst(b *testing.B) {
	for _, n := range []int{8, 64} {
		b.Run(fmt.Sprintf("prompts=%d", n), func(b *testing.B) {
			m := open(b, benchModel(b), Options{ContextSize: 256, Sequences: n, GPULayers: benchLayers(b)})
			tokens := 0
			b.ReportAllocs()
			for b.Loop() {
				var entries []infer.Entry
				for sequence := range n {
					length := 100 + sequence*11%31
					if len(entries)+length > m.BatchSize() {
						decode(b, m, entries...)
						entries = entries[:0]
					}
					for i := range length {
						entries = append(entries, infer.Entry{Token: infer.Token(100 + i*7%4000), Position: i, Sequence: sequence, Logits: i == length-1})
					}
					tokens += length
				}
				decode(b, m, entries...)
				forget(b, m)
			}
			reportRate(b, tokens)
		})
	}
}

// BenchmarkShortBesideLong submits a request of 15 tokens, with an answer of 15, during the prefill of a prompt of 7,500. The
// metrics are in seconds: to the short answer's first and last token, and to the long one's first token with and without
// (alone) the short request.
func BenchmarkShortBesideLong(b *testing.B) {
	const long, steps = 7500, 4
	m, err := Open(context.Background(), benchModel(b), Options{ContextSize: 8192, Sequences: 4, GPULayers: benchLayers(b)})
	if err != nil {
		b.Fatal(err)
	}
	e := infer.New(m, infer.Options{CopyAtLeast: -1}, nil)
	var first, last, beside, alone time.Duration
	submit := func(tokens, answer, salt int) infer.Generation {
		prompt := make([]infer.Token, tokens)
		for i := range prompt {
			prompt[i] = infer.Token(100 + (i+salt)*7%4000)
		}
		g, err := e.Submit(context.Background(), infer.Request{Prompt: prompt, MaxTokens: answer, IgnoreEOS: true, Logprobs: -1})
		if err != nil {
			b.Fatal(err)
		}
		return g
	}
	salt := 0
	for b.Loop() {
		salt += 2
		began := time.Now()
		collect(b, submit(long, 1, salt))
		alone += time.Since(began)
		began = time.Now()
		before := e.Stats().Steps
		g := submit(long, 1, salt+1)
		polltest.Within(b, time.Minute, func() error {
			if e.Stats().Steps < before+steps {
				return errors.New("the long prompt has not started")
			}
			return nil
		})
		came := time.Now()
		short := submit(15, 15, salt)
		if _, err := short.Next(context.Background()); err != nil {
			b.Fatal(err)
		}
		first += time.Since(came)
		collect(b, short)
		last += time.Since(came)
		collect(b, g)
		beside += time.Since(began)
	}
	for unit, total := range map[string]time.Duration{"first-s": first, "last-s": last, "beside-s": beside, "alone-s": alone} {
		b.ReportMetric(total.Seconds()/float64(b.N), unit)
	}
	if err := e.Close(context.Background()); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkWrite generates texts of 128 tokens from only the first token, as self-calibration does.
func BenchmarkWrite(b *testing.B) {
	for _, n := range []int{1, 8, 16, 32, 64} {
		b.Run(fmt.Sprintf("sequences=%d", n), func(b *testing.B) {
			m, err := Open(context.Background(), benchModel(b), Options{ContextSize: 256, Sequences: n, GPULayers: benchLayers(b)})
			if err != nil {
				b.Fatal(err)
			}
			e := infer.New(m, infer.Options{}, nil)
			first, _ := m.BOS()
			tokens := 0
			b.ReportAllocs()
			for b.Loop() {
				var answers []infer.Generation
				for seed := range n {
					g, err := e.Submit(context.Background(), infer.Request{
						Prompt: []infer.Token{first}, MaxTokens: 128, IgnoreEOS: true, Logprobs: -1,
						Sampling: infer.Sampling{Temperature: 1, Seed: uint64(seed)},
					})
					if err != nil {
						b.Fatal(err)
					}
					answers = append(answers, g)
				}
				for _, g := range answers {
					_, last := collect(b, g)
					tokens += last.Usage.Completion
				}
			}
			reportRate(b, tokens)
			b.StopTimer()
			if err := e.Close(context.Background()); err != nil {
				b.Fatal(err)
			}
		})
	}
}
