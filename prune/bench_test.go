//go:build cgo

package prune_test

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"prunellm/models/llama"
	"prunellm/prune"
)

// benchmarkTokens makes sequences out of the oracle's text.
func benchmarkTokens(b *testing.B, count, length int) [][]int32 {
	b.Helper()
	var text []int32
	for _, tokens := range readOracle(b).Tokens {
		text = append(text, tokens...)
	}
	sequences := make([][]int32, count)
	for i := range sequences {
		for len(sequences[i]) < length {
			sequences[i] = append(sequences[i], text[(i*97)%(len(text)-length):]...)
		}
		sequences[i] = sequences[i][:length]
	}
	return sequences
}

// processorTime is the processor time this process has used: what a busy machine cannot falsify.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// reportTokens reports tokens/s and the processor time of a token.
func reportTokens(b *testing.B, tokens int, processor time.Duration) {
	b.Helper()
	b.ReportMetric(float64(tokens*b.N)/b.Elapsed().Seconds(), "tok/s")
	b.ReportMetric(processor.Seconds()*1000/float64(tokens*b.N), "cpu-ms/tok")
}

// BenchmarkScore reports the tokens/s of one stage: forward, backward and scores, compilation and loading included.
func BenchmarkScore(b *testing.B) {
	weights, backend := defaultModel(b), testBackend(b)
	for _, of := range []struct {
		criterion prune.Criterion
		precision llama.Precision
		stages    int
	}{
		{prune.SDM, llama.Float32, 2}, {prune.Fisher, llama.Float32, 1}, {prune.Fisher, llama.BFloat16, 1},
	} {
		for _, length := range []int{256, 512} {
			b.Run(fmt.Sprintf("%s/%s/%d", of.criterion, of.precision, length), func(b *testing.B) {
				recipe := prune.DefaultRecipe()
				recipe.Criterion, recipe.Precision = of.criterion, of.precision
				sequences := benchmarkTokens(b, 2048/length, length)
				b.ReportAllocs()
				before := processorTime(b)
				for b.Loop() {
					if _, err := prune.Score(b.Context(), backend, weights, sequences, recipe, nil); err != nil {
						b.Fatal(err)
					}
				}
				reportTokens(b, of.stages*2048, processorTime(b)-before)
			})
		}
	}
}

// BenchmarkForward reports the tokens/s of a forward pass alone.
func BenchmarkForward(b *testing.B) {
	weights, backend := defaultModel(b), testBackend(b)
	m, err := llama.New(backend, weights.Config())
	if err != nil {
		b.Fatal(err)
	}
	defer m.Close()
	head, err := m.LoadHead(weights, llama.Float32)
	if err != nil {
		b.Fatal(err)
	}
	defer head.Release()
	sequences := benchmarkTokens(b, 4, 512)
	before := processorTime(b)
	for b.Loop() {
		if _, err := llama.Hidden(b.Context(), m, head, weights, sequences, nil); err != nil {
			b.Fatal(err)
		}
	}
	reportTokens(b, 4*512, processorTime(b)-before)
}

// BenchmarkReconstruct reports the calibration tokens/s of refitting all layers at ratio 0.2.
func BenchmarkReconstruct(b *testing.B) {
	weights, backend := defaultModel(b), testBackend(b)
	scores, err := prune.Score(b.Context(), backend, weights, nil, recipeFor(prune.Magnitude), nil)
	if err != nil {
		b.Fatal(err)
	}
	plan, err := prune.MakePlan(weights.Config(), scores.Stage2, 0.2, prune.Uniform)
	if err != nil {
		b.Fatal(err)
	}
	sequences := benchmarkTokens(b, 4, 512)
	before := processorTime(b)
	for b.Loop() {
		if _, err := prune.Reconstruct(b.Context(), backend, weights, plan, sequences, prune.ReconstructOptions{}, nil); err != nil {
			b.Fatal(err)
		}
	}
	reportTokens(b, 4*512, processorTime(b)-before)
}
