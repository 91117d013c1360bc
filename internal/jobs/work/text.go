package work

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"prunellm/convert"
	"prunellm/convert/ggmlquant"
	"prunellm/infer/llamacpp"
	"prunellm/internal/calibration"
	"prunellm/internal/variant"
	"prunellm/models"
	"prunellm/prune"
	"prunellm/prune/recover"
)

// This constant compiles only if prune can score sequences of every length that calibration returns.
const _ = uint(prune.MaxSequence - calibration.MaxSequence)

// allLayers makes llama.cpp put as many layers as possible on GPUs.
const allLayers = -1

// Codec quantizes and dequantizes through ggml.
func Codec() convert.Codec {
	return convert.Codec{Dequantize: ggmlquant.Dequantize, Quantize: ggmlquant.Quantize}
}

// dense returns a model in the form that a calibration source needs. scratch must be an existing folder.
func dense(model *models.GGUF, scratch string) calibration.Dense {
	return calibration.Dense{
		Weights: model, Codec: Codec(), Scratch: scratch,
		OpenModel: func(ctx context.Context, path string, contextSize, sequences int, gpu bool) (calibration.Model, error) {
			options := llamacpp.Options{ContextSize: contextSize, Sequences: sequences}
			if gpu {
				options.GPULayers = allLayers
			}
			return llamacpp.Open(ctx, path, options)
		},
	}
}

// CalibrationText obtains the text for a spec's recipe, including a held-out part. base is the text without further tokens,
// or empty if it is unknown. progress may be nil.
func CalibrationText(ctx context.Context, model *models.GGUF, scratch string, spec variant.Spec, base variant.Text, progress func(done, total int)) (variant.Text, error) {
	source, err := calibration.Reference{Identity: spec.Recipe.Calibration, File: spec.Calibration.File}.Open(dense(model, scratch))
	if err != nil {
		return variant.Text{}, err
	}
	first, further := spec.Text()+spec.HeldOut(), spec.Further()
	text := variant.Text{Tokens: base.Tokens, HeldOut: base.HeldOut}
	if len(base.Tokens) == 0 {
		sequences, err := source.Sequences(ctx, calibration.Want{
			Tokens: first, AtLeast: calibration.MinTokens, Length: spec.Calibration.Length, Seed: spec.Recipe.Seed,
		}, partOf(progress, 0, first+further))
		if err != nil {
			return variant.Text{}, err
		}
		text.Tokens, text.HeldOut = calibration.HoldOut(sequences, spec.HeldOut(), spec.Calibration.Length)
	}
	if further < spec.Calibration.Length {
		return text, nil
	}
	text.Further, err = source.Sequences(ctx, calibration.Want{
		Tokens: further, Length: spec.Calibration.Length, Seed: spec.Recipe.Seed + furtherSeed, Exclude: slices.Concat(text.Tokens, text.HeldOut),
	}, partOf(progress, first, first+further))
	return text, err
}

// furtherSeed is the difference between the seeds of a refit's further text and of the scored text.
const furtherSeed = 1 << 33

// partOf returns a progress function for one part of a text of whole tokens, of which the first before tokens are done.
// progress may be nil.
func partOf(progress func(done, total int), before, whole int) func(done, total int) {
	if progress == nil {
		return nil
	}
	return func(done, _ int) { progress(before+done, whole) }
}

// trainingSeed is the difference between the seeds of the training text and of the calibration text, because a model
// must not train on the text that chose its neurons.
const trainingSeed = 1 << 32

// TrainingText obtains the sequences for recovery training. progress may be nil.
func TrainingText(ctx context.Context, model *models.GGUF, scratch string, job variant.RecoveryJob, progress func(done, total int)) ([][]int32, error) {
	r := job.Recovery
	source, err := calibration.Reference{Identity: r.Source, File: r.Text.File}.Open(dense(model, scratch))
	if err != nil {
		return nil, err
	}
	sequences, err := source.Sequences(ctx, calibration.Want{
		Tokens: r.TextTokens, AtLeast: 2 * r.Text.Length, Length: r.Text.Length, Seed: r.Seed + trainingSeed, Chats: true, Exclude: job.HeldOut,
	}, progress)
	if errors.Is(err, calibration.ErrTooShort) {
		return nil, fmt.Errorf("%w: %w", recover.ErrTooLittle, err)
	}
	return sequences, err
}
