package work

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"

	"prunellm/infer"
	"prunellm/infer/llamacpp"
	"prunellm/internal/jobs"
	"prunellm/internal/machine"
	"prunellm/internal/quality"
	"prunellm/internal/reuse"
	"prunellm/internal/variant"
)

// cardPayload is the payload of a card job. Its result is a variant.Card.
type cardPayload struct {
	variant.Comparison
	Predictions string `json:"predictions"` // file that keeps the dense model's predictions between cards
}

// Measure compares two files in a child, because a file that crashes llama.cpp must not end the parent. The child loads
// both files in addition to the parent's models.
func (o *Orders) Measure(ctx context.Context, comparison variant.Comparison) (figures variant.Card, err error) {
	payload := cardPayload{Comparison: comparison, Predictions: filepath.Join(o.cacheDir, predictions)}
	result, _, err := o.parent.Do(ctx, card, payload, nil, nil)
	if err != nil {
		return variant.Card{}, err
	}
	if err := json.Unmarshal(result, &figures); err != nil {
		return variant.Card{}, fmt.Errorf("card: %w", err)
	}
	return figures, nil
}

// card compares a variant with the dense model. In the background it uses only one thread.
func (c Child) card(ctx context.Context, call *jobs.Call, p cardPayload, _ func(variant.Progress)) (any, jobs.Values, error) {
	threads := machine.Cores()
	if call.Background {
		threads = 1
	}
	window := 2
	windows := make([][]infer.Token, len(p.Windows))
	for i, tokens := range p.Windows {
		window = max(window, len(tokens))
		windows[i] = fromInt32(tokens)
	}
	open := func(path string) (*llamacpp.Model, error) { return openToMeasure(ctx, path, window, threads) }
	pruned, err := open(p.Variant)
	if err != nil {
		return nil, nil, err
	}
	defer pruned.Close()
	variants := []infer.Decoder{nil, pruned}
	if p.Variant == p.Dense {
		variants[1] = nil
	}
	dense, done, err := c.densePredictions(ctx, call, p, windows, pruned, open)
	if err != nil {
		return nil, nil, err
	}
	defer done()
	results, err := quality.MeasureAgainst(ctx, dense, variants, windows, nil)
	if err != nil {
		return nil, nil, fmt.Errorf("measure %q: %w", p.Variant, err)
	}
	return variant.Card{
		Perplexity: results[1].Perplexity, DensePerplexity: results[0].Perplexity,
		KLToDense: results[1].KLToDense, Top1Agreement: results[1].Top1Agreement, Tokens: results[1].Tokens,
	}, nil, nil
}

// openToMeasure loads a file so that it can run one window of tokens at a time.
func openToMeasure(ctx context.Context, path string, window, threads int) (*llamacpp.Model, error) {
	return llamacpp.Open(ctx, path, llamacpp.Options{
		ContextSize: window, Sequences: 1, BatchSize: max(window, 32), Threads: threads, GPULayers: allLayers})
}

// densePredictions returns the dense model's predictions. It reads them from the file, or computes them and stores them
// there for the next card. The caller must call done after use.
func (c Child) densePredictions(ctx context.Context, call *jobs.Call, p cardPayload, windows [][]infer.Token, pruned *llamacpp.Model,
	open func(string) (*llamacpp.Model, error)) (_ quality.Predictions, done func(), err error) {
	file := reuse.File{Path: p.Predictions, Folder: call.Folder, Identity: p.DenseDigest + " " + c.engineIdentity()}
	load := func() (*quality.Kept, error) { return quality.LoadKept(file, pruned.VocabSize(), windows) }
	found, err := load()
	if err == nil {
		return found, found.Close, nil
	}
	if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, reuse.ErrOther) && !errors.Is(err, quality.ErrTooMany) {
		c.Log.Warn("stored predictions not usable, computing them", "path", file.Path, "error", err)
	}
	dense, closeDense := pruned, func() {}
	if p.Variant != p.Dense {
		if dense, err = open(p.Dense); err != nil {
			return nil, nil, err
		}
		closeDense = func() { _ = dense.Close() } // nothing to lose
	}
	if err = quality.Keep(ctx, file, dense, windows); err == nil {
		if found, err = load(); err == nil {
			closeDense()
			return found, found.Close, nil
		}
	}
	if !errors.Is(err, quality.ErrTooMany) {
		c.Log.Warn("predictions not stored, the next card takes longer", "path", file.Path, "error", err)
	}
	return quality.Rounded(dense), closeDense, nil
}

// engineIdentity identifies everything that decides the engine's results: this build and the devices.
func (c Child) engineIdentity() string {
	build := "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		build = info.String()
	}
	devices := []string{runtime.GOARCH}
	for _, d := range llamacpp.Devices() {
		devices = append(devices, d.Name+" "+d.Description)
	}
	return c.Version + "\n" + build + "\n" + strings.Join(devices, ", ")
}

func fromInt32(tokens []int32) []infer.Token {
	out := make([]infer.Token, len(tokens))
	for i, t := range tokens {
		out[i] = infer.Token(t)
	}
	return out
}
