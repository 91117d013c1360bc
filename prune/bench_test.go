//go:build cgo

package prune_test

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/gomlx/gomlx/pkg/core/graph"

	"prunellm/models/llama"
	"prunellm/prune"
)

// benchmarkTokens cuts the oracle's text into sequences.
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

// processorTime returns the processor time that this process has used. Other work on the machine does not change it.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// reportTokens reports tokens/s and the processor time per token.
func reportTokens(b *testing.B, tokens int, processor time.Duration) {
	b.Helper()
	b.ReportMetric(float64(tokens*b.N)/b.Elapsed().Seconds(), "tok/s")
	b.ReportMetric(processor.Seconds()*1000/float64(tokens*b.N), "cpu-ms/tok")
}

// BenchmarkScore reports the tokens/s of one stage: forward, backward and scores, including compilation and loading.
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

// BenchmarkForward reports the tokens/s of a forward pass.
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

// BenchmarkSequencesTogether reports the tokens/s of one layer's forward pass by its width and by the number of sequences of 256
// tokens that run together. It uses bfloat16 if that is fast on the backend.
func BenchmarkSequencesTogether(b *testing.B) {
	weights, backend := defaultModel(b), testBackend(b)
	scores, err := prune.Score(b.Context(), backend, weights, nil, recipeFor(prune.Magnitude), nil)
	if err != nil {
		b.Fatal(err)
	}
	for _, of := range []struct {
		width int
		ratio float64
	}{{512, 0.395}, {1024, 0.2}, {1536, 0}} {
		plan, err := prune.MakePlan(weights.Config(), scores.Stage2, of.ratio, prune.Uniform)
		if err != nil {
			b.Fatal(err)
		}
		slim, err := prune.Pruned(weights, plan, nil)
		if err != nil {
			b.Fatal(err)
		}
		m, err := llama.New(backend, slim.Config())
		if err != nil {
			b.Fatal(err)
		}
		defer m.Close()
		layer, err := m.LoadLayer(slim, 10, llama.LayerOptions{PadFFN: of.width, Narrow: llama.AutoPrecision.On(backend, false).Narrow()})
		if err != nil {
			b.Fatal(err)
		}
		defer layer.Release()
		program, err := m.LayerProgram("forward", func(block *llama.Block, rope llama.RoPE, args []*graph.Node) []*graph.Node {
			return []*graph.Node{llama.Forward(m.Config(), block, rope, args[0]).Out}
		})
		if err != nil {
			b.Fatal(err)
		}
		head, err := m.LoadHead(slim, llama.Float32)
		if err != nil {
			b.Fatal(err)
		}
		defer head.Release()
		for _, count := range []int{1, 2, 4} {
			b.Run(fmt.Sprintf("width=%d/sequences=%d", layer.Width, count), func(b *testing.B) {
				states, err := llama.NewStates(m, head, benchmarkTokens(b, count, 256))
				if err != nil {
					b.Fatal(err)
				}
				defer states.Release()
				var joined []float32
				for _, x := range states {
					values, err := llama.Download[float32](x)
					if err != nil {
						b.Fatal(err)
					}
					joined = append(joined, values...)
				}
				x, err := m.Upload(joined, count*256, m.Config().HiddenSize)
				if err != nil {
					b.Fatal(err)
				}
				defer llama.Release(x)
				run := func() {
					results, err := program.RunTogether(count, layer, x)
					if err != nil {
						b.Fatal(err)
					}
					if _, err := llama.Download[float32](results[0]); err != nil { // waits for the result
						b.Fatal(err)
					}
					llama.Release(results...)
				}
				run() // compiles
				before := processorTime(b)
				for b.Loop() {
					run()
				}
				reportTokens(b, count*256, processorTime(b)-before)
			})
		}
	}
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
