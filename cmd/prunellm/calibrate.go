package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"

	"prunellm/convert"
	"prunellm/infer"
	"prunellm/infer/llamacpp"
	"prunellm/internal/variant"
	"prunellm/models"
	"prunellm/prune"
)

// selfCalibrationSequences is how many texts the dense model writes side by side: decoding that many together is
// several times faster than one after the other.
const selfCalibrationSequences = 32

// writingType is the file type in which the dense model writes its calibration text: close to any original and decoded
// fast in any company. Scores are computed on the model as it came.
const writingType convert.FileType = "q8_0"

// calibrationText obtains the text of a recipe from a file, or from the dense model itself.
func calibrationText(ctx context.Context, dense *models.GGUF, scratch string, spec variant.Spec, progress func(prune.Progress)) (variant.Text, error) {
	length := spec.Calibration.Length
	if spec.Calibration.File != "" {
		model, err := llamacpp.Open(ctx, dense.Path(), llamacpp.Options{ContextSize: length + 1, Sequences: 1})
		if err != nil {
			return variant.Text{}, err
		}
		defer model.Close()
		return fileText(spec, model)
	}
	wanted := spec.Recipe.Tokens + spec.HeldOut()
	if progress != nil {
		progress(prune.Progress{Stage: "calibrate", Total: wanted})
	}
	path := filepath.Join(scratch, "writer.gguf")
	if _, err := convert.Slim(ctx, dense, path, convert.Options{FileType: writingType, Codec: codec()}); err != nil {
		return variant.Text{}, fmt.Errorf("convert the dense model for writing: %w", err)
	}
	defer os.Remove(path)
	sequences := min(selfCalibrationSequences, (wanted+length-1)/length)
	model, err := llamacpp.Open(ctx, path, llamacpp.Options{ContextSize: length + 1, Sequences: sequences})
	if err != nil {
		return variant.Text{}, err
	}
	engine := infer.New(model, infer.Options{MaxQueue: 1 << 16}, nil)
	defer engine.Close(context.WithoutCancel(ctx))
	writer := &textWriter{engine: engine, model: model, progress: progress}
	written, err := prune.SelfCalibrate(ctx, writer, wanted, length, spec.Recipe.Seed)
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
func fileText(spec variant.Spec, model *llamacpp.Model) (variant.Text, error) {
	text, err := prune.LoadText(spec.Calibration.File)
	if err != nil {
		return variant.Text{}, err
	}
	var tokens []int32
	for _, document := range text.Documents {
		part, err := model.Tokenize(document, false, false)
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

// textWriter lets the dense model write sequences. It implements prune.TextGenerator.
type textWriter struct {
	engine   *infer.Engine
	model    *llamacpp.Model
	progress func(prune.Progress)
	chat     []infer.Token // begins every second text, where it is set
}

// Generate implements prune.TextGenerator: n sequences of exactly length tokens, each begun with a token of its own drawn
// at random, so that the texts differ, and sampled on at temperature 1: lower temperatures gave text that calibrates
// worse (docs/pruning.md).
func (w *textWriter) Generate(ctx context.Context, n, length int, seed uint64) ([][]int32, error) {
	ctx, cancel := context.WithCancel(ctx) // when one fails, the others end too
	defer cancel()
	running := make([]infer.Generation, n)
	starts := make([][]infer.Token, n)
	for i := range running {
		starts[i] = w.start(rand.New(rand.NewPCG(seed, uint64(i))))
		if i%2 == 1 && len(w.chat) > 0 && len(w.chat) < length {
			starts[i] = w.chat
		}
		var err error
		running[i], err = w.engine.Submit(ctx, infer.Request{
			Prompt: starts[i], MaxTokens: length - len(starts[i]), IgnoreEOS: true, Logprobs: 0,
			Sampling: infer.Sampling{Temperature: 1, Seed: seed + uint64(i)},
		})
		if err != nil {
			return nil, err
		}
	}
	sequences := make([][]int32, n)
	done := 0
	for i, generation := range running {
		sequences[i] = append(make([]int32, 0, length), toInt32(starts[i])...)
		for {
			chunk, err := generation.Next(ctx)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return nil, err
			}
			for _, t := range chunk.Tokens {
				sequences[i] = append(sequences[i], int32(t.Token))
			}
			if stats := w.engine.Stats(); w.progress != nil && int(stats.CompletionTokens) > done {
				done = int(stats.CompletionTokens)
				w.progress(prune.Progress{Stage: "calibrate", Done: min(done, n*length), Total: n * length})
			}
		}
	}
	return sequences, nil
}

// start is the token that begins a text and a random one of those that have a text.
func (w *textWriter) start(random *rand.Rand) []infer.Token {
	bos, _ := w.model.BOS()
	for range maxDraws {
		if t := infer.Token(random.IntN(w.model.VocabSize())); len(w.model.Piece(t, false)) > 0 {
			return []infer.Token{bos, t}
		}
	}
	return []infer.Token{bos} // a vocabulary of control tokens
}

// maxDraws bounds the search for a token with a text; in real vocabularies nearly all have one.
const maxDraws = 1000

func toInt32(tokens []infer.Token) []int32 {
	out := make([]int32, len(tokens))
	for i, t := range tokens {
		out[i] = int32(t)
	}
	return out
}
