//go:build cgo

package recover_test

import (
	"log/slog"
	"os"
	"syscall"
	"testing"
	"time"

	"prunellm/convert/ggmlquant"
	"prunellm/internal/xla"
	"prunellm/models"
	"prunellm/models/llama"
	"prunellm/prune"
	"prunellm/prune/recover"
)

// defaultModel is the default model, if setup has fetched it.
func defaultModel(t testing.TB) (models.Weights, string) {
	t.Helper()
	home := os.Getenv("PRUNELLM_HOME")
	path, err := models.Resolve(t.Context(), "default", home)
	if err != nil {
		t.Skip(err)
	}
	model, err := models.OpenGGUF(path, ggmlquant.Dequantize)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = model.Close() })
	return model, home
}

// processorTime returns the time that all threads of the process have used so far.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// BenchmarkRun trains for some steps of 512 tokens at ratio 0.2 on XLA. TRAIN selects the weights, PRECISION the precision of
// matmuls.
func BenchmarkRun(b *testing.B) {
	dense, home := defaultModel(b)
	backend, err := xla.Open(slog.New(slog.DiscardHandler), xla.Options{Home: home})
	if err != nil {
		b.Fatal(err)
	}
	defer backend.Finalize()
	scores, err := prune.Score(b.Context(), backend, dense, nil, prune.Recipe{Criterion: prune.Magnitude, Alpha: .4, Temperature: .2, SliverKeep: .9}, nil)
	if err != nil {
		b.Fatal(err)
	}
	plan, err := prune.MakePlan(dense.Config(), scores.Stage2, 0.2, prune.Uniform)
	if err != nil {
		b.Fatal(err)
	}
	slim, err := prune.Pruned(dense, plan, nil)
	if err != nil {
		b.Fatal(err)
	}
	sequences := randomSequences(dense.Config().VocabSize, 5, 512)
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	before := processorTime(b)
	last := before
	for b.Loop() {
		result, err := recover.Run(b.Context(), backend, dense, slim, sequences, recover.Options{
			Train: recover.Train(os.Getenv("TRAIN")), Precision: llama.Precision(os.Getenv("PRECISION")), Tokens: 512 * 4, LearningRate: 1e-5, HeldOut: 1, Evaluations: 1, Log: log},
			func(p recover.Progress) {
				now := processorTime(b)
				log.Debug("processor time", "step", p.Step, "seconds", (now - last).Seconds())
				last = now
			})
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(result.Tokens)/result.Elapsed.Seconds(), "tokens/s")
		b.ReportMetric(1000*(processorTime(b)-before).Seconds()/float64(result.Tokens), "cpu-ms/token")
	}
}
