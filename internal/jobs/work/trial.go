package work

import (
	"context"
	"fmt"

	"prunellm/infer"
	"prunellm/infer/llamacpp"
	"prunellm/internal/jobs"
	"prunellm/internal/variant"
)

// trialPayload is a file to run. It has no result.
type trialPayload struct {
	Path string `json:"path"`
}

// trialTokens is how many tokens a trial decodes.
const trialTokens = 8

// Try has a child load a file and decode a few tokens: a file that llama.cpp crashes on must not end the parent.
func (o *Orders) Try(ctx context.Context, path string) error {
	_, _, err := o.parent.Do(ctx, trial, trialPayload{Path: path}, nil, nil)
	return err
}

// try returns an error if the engine does not run the file, or computes logits that are not numbers.
func (c Child) try(ctx context.Context, _ *jobs.Call, p trialPayload, _ func(variant.Progress)) (any, jobs.Values, error) {
	model, err := llamacpp.Open(ctx, p.Path, llamacpp.Options{ContextSize: 2 * trialTokens, Sequences: 1, BatchSize: 32, GPULayers: allLayers})
	if err != nil {
		return nil, nil, err
	}
	defer model.Close()
	entries := make([]infer.Entry, trialTokens)
	for i := range entries {
		entries[i] = infer.Entry{Token: infer.Token(i % model.VocabSize()), Position: i, Logits: i == trialTokens-1}
	}
	if err := model.Decode(entries); err != nil {
		return nil, nil, err
	}
	for _, logit := range model.Logits(trialTokens - 1) {
		if logit-logit != 0 { // NaN and infinity
			return nil, nil, fmt.Errorf("%q gives logits that are not numbers", p.Path)
		}
	}
	return nil, nil, nil
}
