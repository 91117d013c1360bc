package main

import (
	"context"
	"fmt"
	"runtime"

	"prunellm/infer"
	"prunellm/infer/llamacpp"
	"prunellm/internal/quality"
	"prunellm/internal/variant"
	"prunellm/internal/worker"
)

// cardWorker is the kind of worker that measures a card.
const cardWorker = "card"

// measureOrder is what a parent sends to a worker that measures a card.
type measureOrder struct {
	variant.Comparison
	// Background gives way to everything else on the machine: one thread at the lowest priority.
	Background bool `json:"background"`
}

// measureCard has a child process compare two files: it loads both, beside what the parent serves, and a file that
// llama.cpp cannot stomach must not take the parent down.
func measureCard(ctx context.Context, env *environment, comparison variant.Comparison, background bool) (variant.Card, error) {
	self, err := worker.Self()
	if err != nil {
		return variant.Card{}, fmt.Errorf("find own binary: %w", err)
	}
	command := worker.Command{Path: self, Args: append([]string{"worker", cardWorker}, env.flags...), Log: env.stderr}
	return worker.Run[measureOrder, struct{}, variant.Card](ctx, command,
		measureOrder{Comparison: comparison, Background: background}, nil)
}

// serveMeasure is the child's side: it serves one order from standard input.
func serveMeasure(env *environment) error {
	return serveOrder(env, func(ctx context.Context, o measureOrder, _ func(struct{})) (variant.Card, error) {
		return o.perform(ctx)
	})
}

func (o measureOrder) perform(ctx context.Context) (variant.Card, error) {
	threads := runtime.GOMAXPROCS(0)
	if o.Background {
		worker.GiveWay()
		threads = 1
	}
	window := 2
	windows := make([][]infer.Token, len(o.Windows))
	for i, tokens := range o.Windows {
		window = max(window, len(tokens))
		windows[i] = fromInt32(tokens)
	}
	open := func(path string) (infer.Decoder, error) {
		return llamacpp.Open(ctx, path, llamacpp.Options{
			ContextSize: window, Sequences: 1, BatchSize: max(window, 32), Threads: threads, GPULayers: allLayers})
	}
	dense, err := open(o.Dense)
	if err != nil {
		return variant.Card{}, err
	}
	defer dense.Close()
	pruned := dense
	if o.Variant != o.Dense {
		if pruned, err = open(o.Variant); err != nil {
			return variant.Card{}, err
		}
		defer pruned.Close()
	}
	results, err := quality.Measure(ctx, dense, []infer.Decoder{dense, pruned}, windows, nil)
	if err != nil {
		return variant.Card{}, fmt.Errorf("measure %q: %w", o.Variant, err)
	}
	return variant.Card{
		Perplexity: results[1].Perplexity, DensePerplexity: results[0].Perplexity,
		KLToDense: results[1].KLToDense, Top1Agreement: results[1].Top1Agreement, Tokens: results[1].Tokens,
	}, nil
}

func fromInt32(tokens []int32) []infer.Token {
	out := make([]infer.Token, len(tokens))
	for i, t := range tokens {
		out[i] = infer.Token(t)
	}
	return out
}
