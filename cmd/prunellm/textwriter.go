package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"prunellm/convert"
	"prunellm/infer"
	"prunellm/infer/llamacpp"
	"prunellm/models"
	"prunellm/models/chattemplate"
	"prunellm/prune"
)

// selfCalibrationSequences is how many sequences the dense model writes side by side at most: decoding that many together is
// several times faster than one after the other.
const selfCalibrationSequences = 48

// sideBySide is how many of all sequences are written at a time: as many in the last round as in the first, since few take nearly as
// long as many.
func sideBySide(all int) int {
	rounds := (all + selfCalibrationSequences - 1) / selfCalibrationSequences
	return (all + rounds - 1) / rounds
}

// writingType is the file type in which the dense model writes its calibration text: close to any original and decoded
// fast in any company. Scores are computed on the model as it came.
const writingType convert.FileType = "q8_0"

// writingTemperature is what the model was trained at: colder text keeps to its subject, which chooses neurons as well, but
// varies less, and the refit needs variety (docs/understand/pruning.md).
const writingTemperature = 1.0

// writing says how much text the dense model is to write.
type writing struct {
	tokens int
	length int // tokens of a sequence
	seed   uint64
}

// selfText lets the dense model write text in sequences.
func selfText(ctx context.Context, dense *models.GGUF, scratch string, order writing, progress func(prune.Progress)) ([][]int32, error) {
	if progress != nil {
		progress(prune.Progress{Stage: "calibrate", Total: order.tokens})
	}
	path := filepath.Join(scratch, "writer.gguf")
	if _, err := convert.Slim(ctx, dense, path, convert.Options{FileType: writingType, Codec: codec()}); err != nil {
		return nil, fmt.Errorf("convert the dense model for writing: %w", err)
	}
	defer os.Remove(path)
	parallel := sideBySide((order.tokens + order.length - 1) / order.length)
	model, err := llamacpp.Open(ctx, path, llamacpp.Options{ContextSize: order.length, Sequences: parallel, GPULayers: allLayers})
	if err != nil {
		return nil, err
	}
	engine := infer.New(model, infer.Options{MaxQueue: 1 << 16}, nil)
	defer engine.Close(context.WithoutCancel(ctx))
	writer := &textWriter{engine: engine, model: model, openings: openingTokens(model), progress: progress}
	if template := chatTemplate(dense); template != nil {
		if writer.chat, err = chatStart(model, template); err != nil {
			return nil, err
		}
		writer.requests = requestTokens(model, template)
	}
	return prune.SelfCalibrate(ctx, writer, order.tokens, order.length, order.seed)
}

// chatTemplate is the model's own; nil for a model without chat.
func chatTemplate(dense *models.GGUF) *chattemplate.Template {
	tokenizer := dense.Tokenizer()
	template, err := chattemplate.New(tokenizer.ChatTemplate, dense.TokenText(tokenizer.BOS), dense.TokenText(tokenizer.EOS))
	if err != nil {
		return nil
	}
	return template
}

// openingTokens are the openings in the model's own tokens, after its BOS where it begins texts with one. Those that a
// vocabulary has no tokens for are left out.
func openingTokens(model *llamacpp.Model) [][]infer.Token {
	var openings [][]infer.Token
	for _, opening := range prune.Openings() {
		bare, err := model.Tokenize(opening.Text, false, false)
		if err != nil || len(bare) == 0 {
			continue
		}
		if bos, adds := model.BOS(); adds {
			bare = append([]infer.Token{bos}, bare...)
		}
		openings = append(openings, bare)
	}
	return openings
}

// requestTokens are the requests in the chat template's form, up to where the answer begins. None where the template
// refuses a lone message.
func requestTokens(model *llamacpp.Model, template *chattemplate.Template) [][]infer.Token {
	var requests [][]infer.Token
	for _, request := range prune.Requests() {
		prompt, err := template.Render([]chattemplate.Message{{Role: "user", Content: request}}, true)
		if err != nil {
			return nil
		}
		tokens, err := model.Tokenize(prompt, false, true)
		if err != nil || len(tokens) == 0 {
			continue
		}
		requests = append(requests, tokens)
	}
	return requests
}

// chatStart is what stands before a user's message in a chat: from there the model writes the message and its answer
// itself (compare Magpie, arXiv 2406.08464).
func chatStart(model *llamacpp.Model, template *chattemplate.Template) ([]infer.Token, error) {
	const mark = "MESSAGE"
	prompt, err := template.Render([]chattemplate.Message{{Role: "user", Content: mark}}, false)
	if err != nil {
		return nil, nil //nolint:nilerr // a template that refuses a lone message is as good as none here
	}
	before, _, found := strings.Cut(prompt, mark)
	if !found || before == "" {
		return nil, nil
	}
	return model.Tokenize(before, false, true)
}

// textWriter lets the dense model write sequences. It implements prune.TextGenerator.
type textWriter struct {
	engine   *infer.Engine
	model    *llamacpp.Model
	openings [][]infer.Token
	requests [][]infer.Token // up to where the answer begins; none for a model without chat
	chat     []infer.Token   // up to where a user's message begins; empty for a model without chat
	progress func(prune.Progress)
}

// Generate implements prune.TextGenerator: n sequences of exactly length tokens, written side by side.
func (w *textWriter) Generate(ctx context.Context, n, length int, seed uint64) ([][]int32, error) {
	ctx, cancel := context.WithCancelCause(ctx) // when one fails, the others end too
	defer cancel(nil)
	sequences := make([][]int32, n)
	var writers sync.WaitGroup
	var reports sync.Mutex
	done := 0
	for i := range sequences {
		writers.Go(func() {
			var err error
			sequences[i], err = w.sequence(ctx, length, func(text int) textStart {
				return w.start(i+text*n, length, seed)
			}, func(tokens int) {
				reports.Lock()
				defer reports.Unlock()
				if done += tokens; w.progress != nil {
					w.progress(prune.Progress{Stage: "calibrate", Done: done, Total: n * length})
				}
			})
			if err != nil {
				cancel(err)
			}
		})
	}
	writers.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	return sequences, nil
}

// textStart is how a text begins, and what the model makes of it.
type textStart struct {
	tokens []infer.Token
	ends   int    // end-of-generation tokens that end the text: a chat has one after the message, and one after the answer
	seed   uint64 // of the draws
}

// sequence is one text after another, until there are length tokens.
func (w *textWriter) sequence(ctx context.Context, length int, start func(text int) textStart, wrote func(tokens int)) ([]int32, error) {
	sequence := make([]int32, 0, length)
	for text := 0; len(sequence) < length; text++ {
		begin := start(text)
		begin.tokens = begin.tokens[:min(len(begin.tokens), length-len(sequence))]
		sequence = append(sequence, toInt32(begin.tokens)...)
		wrote(len(begin.tokens))
		if len(sequence) == length {
			break
		}
		written, err := w.text(ctx, begin, length-len(sequence), wrote)
		if err != nil {
			return nil, err
		}
		sequence = append(sequence, written...)
	}
	return sequence, nil
}

// text is what the model goes on with, up to limit tokens, the one that ends it included.
func (w *textWriter) text(ctx context.Context, begin textStart, limit int, wrote func(tokens int)) ([]int32, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the engine's work where the text ends
	generation, err := w.engine.Submit(ctx, infer.Request{
		Prompt: begin.tokens, MaxTokens: limit, IgnoreEOS: true, Logprobs: 0, Sampling: infer.Sampling{Temperature: writingTemperature, Seed: begin.seed},
	})
	if err != nil {
		return nil, err
	}
	var tokens []int32
	for ends := 0; ; {
		chunk, err := generation.Next(ctx)
		if errors.Is(err, io.EOF) {
			return tokens, nil
		}
		if err != nil {
			return nil, err
		}
		for _, t := range chunk.Tokens {
			tokens = append(tokens, int32(t.Token))
			wrote(1)
			if w.model.EndOfGeneration(t.Token) {
				if ends++; ends == begin.ends {
					return tokens, nil
				}
			}
		}
	}
}

// start is how a text begins.
func (w *textWriter) start(number int, length int, seed uint64) textStart {
	begin := textStart{ends: 1, seed: seed + uint64(number)}
	cycle := w.cycle(length)
	if len(cycle) == 0 {
		begin.tokens = w.randomStart(rand.New(rand.NewPCG(seed, uint64(number))))
		return begin
	}
	switch kind, nth := prune.Beginning(cycle, number); kind {
	case prune.BeginChat:
		begin.tokens, begin.ends = w.chat, 2
	case prune.BeginRequest:
		begin.tokens = pick(w.requests, nth, seed)
	case prune.BeginOpening:
		begin.tokens = pick(w.openings, nth, seed)
		begin.tokens = begin.tokens[:min(len(begin.tokens), length/2)]
	}
	return begin
}

// cycle is how texts begin in turn: in those ways that the model has, and that leave it at least half of a sequence.
func (w *textWriter) cycle(length int) []prune.BeginningKind {
	return slices.DeleteFunc(prune.Beginnings(), func(kind prune.BeginningKind) bool {
		switch kind {
		case prune.BeginChat:
			return len(w.chat) == 0 || len(w.chat) > length/2
		case prune.BeginRequest:
			return len(w.requests) == 0 || slices.ContainsFunc(w.requests, func(r []infer.Token) bool { return len(r) > length/2 })
		}
		return len(w.openings) == 0 || length < 2
	})
}

// pick is the nth of a list in a seed's order; the list comes round again.
func pick(list [][]infer.Token, nth int, seed uint64) []infer.Token {
	return list[prune.OpeningOrder(len(list), seed)[nth%len(list)]]
}

// randomStart is the token that begins a text and a random one of those that have a text.
func (w *textWriter) randomStart(random *rand.Rand) []infer.Token {
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
