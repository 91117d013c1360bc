package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"

	"prunellm/infer"
	"prunellm/infer/llamacpp"
	"prunellm/internal/jobs"
	"prunellm/internal/quality"
	"prunellm/internal/reuse"
	"prunellm/internal/variant"
)

// cardWorker is the kind of worker that measures a card.
const cardWorker = "card"

// predictionsFile lies in the cache folder: what the dense model predicts on the held-out text that a card was measured on last.
const predictionsFile = "dense-predictions"

// measureOrder is what a parent sends to a worker that measures a card.
type measureOrder struct {
	variant.Comparison
	Predictions string `json:"predictions"` // file for the dense model's
	Folder      string `json:"folder"`      // for that file while it is written
	// Background gives way to everything else on the machine: one thread at the lowest priority.
	Background bool `json:"background"`
}

// measuring has child processes compare two files: each loads both, beside what the parent serves, and a file that
// llama.cpp cannot stomach must not take the parent down.
func measuring(env *environment, cacheDir string, background bool) func(context.Context, variant.Comparison) (variant.Card, error) {
	return func(ctx context.Context, comparison variant.Comparison) (variant.Card, error) {
		self, err := jobs.Self()
		if err != nil {
			return variant.Card{}, fmt.Errorf("find own binary: %w", err)
		}
		cacheDir, err := filepath.Abs(cacheDir)
		if err != nil {
			return variant.Card{}, err
		}
		folder, release, err := newExchange(filepath.Join(cacheDir, jobsFolder))
		if err != nil {
			return variant.Card{}, err
		}
		defer release()
		command := jobs.Command{Path: self, Args: append([]string{"worker", cardWorker}, env.flags...), Log: env.stderr}
		return jobs.Run[measureOrder, struct{}, variant.Card](ctx, command, measureOrder{
			Comparison: comparison, Predictions: filepath.Join(cacheDir, predictionsFile), Folder: folder, Background: background}, nil)
	}
}

// serveMeasure is the child's side: it serves one order from standard input.
func serveMeasure(env *environment) error {
	return serveOrder(env, func(ctx context.Context, o measureOrder, _ func(struct{})) (variant.Card, error) {
		return o.perform(ctx, env.log)
	})
}

func (o measureOrder) perform(ctx context.Context, log *slog.Logger) (variant.Card, error) {
	threads := runtime.GOMAXPROCS(0)
	if o.Background {
		jobs.GiveWay()
		threads = 1
	}
	window := 2
	windows := make([][]infer.Token, len(o.Windows))
	for i, tokens := range o.Windows {
		window = max(window, len(tokens))
		windows[i] = fromInt32(tokens)
	}
	open := func(path string) (*llamacpp.Model, error) {
		return llamacpp.Open(ctx, path, llamacpp.Options{
			ContextSize: window, Sequences: 1, BatchSize: max(window, 32), Threads: threads, GPULayers: allLayers})
	}
	pruned, err := open(o.Variant)
	if err != nil {
		return variant.Card{}, err
	}
	defer pruned.Close()
	variants := []infer.Decoder{nil, pruned}
	if o.Variant == o.Dense {
		variants[1] = nil
	}
	predictions, done, err := o.predictions(ctx, windows, pruned, open, log)
	if err != nil {
		return variant.Card{}, err
	}
	defer done()
	results, err := quality.MeasureAgainst(ctx, predictions, variants, windows, nil)
	if err != nil {
		return variant.Card{}, fmt.Errorf("measure %q: %w", o.Variant, err)
	}
	return variant.Card{
		Perplexity: results[1].Perplexity, DensePerplexity: results[0].Perplexity,
		KLToDense: results[1].KLToDense, Top1Agreement: results[1].Top1Agreement, Tokens: results[1].Tokens,
	}, nil
}

// predictions is what the dense model predicts: from the file, or computed and left there for the next variant. done ends their use.
func (o measureOrder) predictions(ctx context.Context, windows [][]infer.Token, pruned *llamacpp.Model,
	open func(string) (*llamacpp.Model, error), log *slog.Logger) (_ quality.Predictions, done func(), err error) {
	file := reuse.File{Path: o.Predictions, Folder: o.Folder, Identity: o.DenseDigest + " " + engineIdentity()}
	load := func() (*quality.Kept, error) { return quality.LoadKept(file, pruned.VocabSize(), windows) }
	found, err := load()
	if err == nil {
		return found, found.Close, nil
	}
	if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, reuse.ErrOther) && !errors.Is(err, quality.ErrTooMany) {
		log.Warn("kept predictions not usable, computing them", "path", file.Path, "error", err)
	}
	dense, closeDense := pruned, func() {}
	if o.Variant != o.Dense {
		if dense, err = open(o.Dense); err != nil {
			return nil, nil, err
		}
		closeDense = func() { _ = dense.Close() } // nothing was written
	}
	if err = quality.Keep(ctx, file, dense, windows); err == nil {
		if found, err = load(); err == nil {
			closeDense()
			return found, found.Close, nil
		}
	}
	if !errors.Is(err, quality.ErrTooMany) {
		log.Warn("predictions not kept, a further card will take longer", "path", file.Path, "error", err)
	}
	return quality.Rounded(dense), closeDense, nil
}

// engineIdentity is of what decides the numbers that the engine computes: this build, and the devices.
func engineIdentity() string {
	build := "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		build = info.String()
	}
	devices := []string{runtime.GOARCH}
	for _, d := range llamacpp.Devices() {
		devices = append(devices, d.Name+" "+d.Description)
	}
	return version + "\n" + build + "\n" + strings.Join(devices, ", ")
}

func fromInt32(tokens []int32) []infer.Token {
	out := make([]infer.Token, len(tokens))
	for i, t := range tokens {
		out[i] = infer.Token(t)
	}
	return out
}
