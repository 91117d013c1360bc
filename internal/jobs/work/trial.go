package work

import (
	"context"
	"fmt"

	"prunellm/infer"
	"prunellm/infer/llamacpp"
	"prunellm/internal/jobs"
	"prunellm/internal/variant"
)

// trialPayload is the payload of a trial job, which has no result.
type trialPayload struct {
	Path string `json:"path"`
}

// trialTokens is the number of tokens that a trial decodes.
const trialTokens = 8

// Try loads a file and decodes a few tokens in a child, because a file that crashes llama.cpp must not end the parent.
func (o *Orders) Try(ctx context.Context, path string) error {
	_, _, err := o.parent.Do(ctx, trial, trialPayload{Path: path}, nil, nil)
	return err
}

// try returns an error if the engine cannot run the file, or if a logit is NaN or infinite.
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
		if logit-logit != 0 { // NaN or infinity
			return nil, nil, fmt.Errorf("%q gives logits that are NaN or infinite", p.Path)
		}
	}
	return nil, nil, nil
}
