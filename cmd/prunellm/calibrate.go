package main

import (
	"context"
	"fmt"

	"prunellm/infer"
	"prunellm/infer/llamacpp"
	"prunellm/internal/variant"
	"prunellm/models"
	"prunellm/prune"
)

// calibrationText obtains the text of a recipe from a file, or from the dense model itself.
func calibrationText(ctx context.Context, dense *models.GGUF, scratch string, spec variant.Spec, progress func(prune.Progress)) (variant.Text, error) {
	length := spec.Calibration.Length
	if spec.Calibration.File != "" {
		model, err := llamacpp.Open(ctx, dense.Path(), llamacpp.Options{ContextSize: length + 1, Sequences: 1})
		if err != nil {
			return variant.Text{}, err
		}
		defer model.Close()
		return fileText(ctx, spec, model, progress)
	}
	wanted := spec.Recipe.Tokens + spec.HeldOut()
	written, err := selfText(ctx, dense, scratch, writing{tokens: wanted, length: length, seed: spec.Recipe.Seed}, progress)
	if err != nil {
		return variant.Text{}, err
	}
	return holdOut(written, spec), nil
}

// holdOut takes sequences, spread evenly over the text, out for measuring what pruning cost. A text of one sequence stays
// whole.
func holdOut(sequences [][]int32, spec variant.Spec) (text variant.Text) {
	n := min((spec.HeldOut()+spec.Calibration.Length-1)/spec.Calibration.Length, len(sequences)/largestHeldOut)
	for i, sequence := range sequences {
		if (i+1)*n/len(sequences) > i*n/len(sequences) {
			text.HeldOut = append(text.HeldOut, sequence)
		} else {
			text.Tokens = append(text.Tokens, sequence)
		}
	}
	return text
}

// largestHeldOut bounds what is held out of a short text: one sequence in so many.
const largestHeldOut = 4

// minTextTokens is the shortest calibration text that is accepted: fewer tokens than that say nothing about a model.
const minTextTokens = minCalibrationTokens

// fileText cuts a file's text into sequences.
func fileText(ctx context.Context, spec variant.Spec, model tokenizer, progress func(prune.Progress)) (variant.Text, error) {
	text, err := prune.LoadText(spec.Calibration.File, spec.Recipe.Calibration)
	if err != nil {
		return variant.Text{}, err
	}
	shown := tokenizing(text, spec.Recipe.Tokens+spec.HeldOut(), progress)
	var tokens []int32
	for _, document := range text.Documents {
		part, err := tokenizeText(ctx, model, document, false, shown)
		if err != nil {
			return variant.Text{}, fmt.Errorf("tokenize %q: %w", spec.Calibration.File, err)
		}
		tokens = append(tokens, toInt32(part)...)
	}
	if len(tokens) < minTextTokens {
		return variant.Text{}, fmt.Errorf("calibration text %q has %d tokens, want at least %d: use a longer text, or 'self'",
			spec.Calibration.File, len(tokens), minTextTokens)
	}
	return holdOut(prune.Sequences(tokens, spec.Calibration.Length, spec.Recipe.Tokens+spec.HeldOut()), spec), nil
}

// tokenizing turns bytes of a text that were tokenized into progress towards the tokens that are wanted. progress may be nil.
func tokenizing(text *prune.Text, wanted int, progress func(prune.Progress)) func(bytes int) {
	total, done := 0, 0
	for _, document := range text.Documents {
		total += len(document)
	}
	return func(bytes int) {
		done += bytes
		if progress != nil {
			progress(prune.Progress{Stage: "calibrate", Done: int(float64(wanted) * float64(done) / float64(total)), Total: wanted})
		}
	}
}

func toInt32(tokens []infer.Token) []int32 {
	out := make([]int32, len(tokens))
	for i, t := range tokens {
		out[i] = int32(t)
	}
	return out
}
