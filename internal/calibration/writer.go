package calibration

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"sync"

	"prunellm/infer"
)

// writingTemperature is 1, as in training. Text at a lower temperature stays closer to its subject and is as good for
// scores, but it varies less, and the refit needs variety (docs/understand/pruning.md).
const writingTemperature = 1.0

// textWriter generates sequences with the dense model. It implements textGenerator.
type textWriter struct {
	engine   *infer.Engine
	model    Model
	openings [][]infer.Token
	requests [][]infer.Token // prompts up to the beginning of the answer; empty for a model without chat
	chat     []infer.Token   // prompt up to the beginning of the user's message; empty for a model without chat
	progress func(done, total int)
}

// generate implements textGenerator. It returns n sequences of exactly length tokens and writes them in parallel.
func (w *textWriter) generate(ctx context.Context, n, length int, seed uint64) ([][]int32, error) {
	ctx, cancel := context.WithCancelCause(ctx) // the first error cancels the others
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
				done += tokens
				w.progress(done, n*length)
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

// textStart is the beginning of a text, and how the text continues.
type textStart struct {
	tokens []infer.Token
	ends   int    // number of end-of-generation tokens up to the end of the text; in a chat, one after the message and one after the answer
	seed   uint64 // for sampling
}

// sequence writes texts one after another until there are length tokens.
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

// text returns the model's continuation of a beginning, up to limit tokens. It includes the token that ends the text.
func (w *textWriter) text(ctx context.Context, begin textStart, limit int, wrote func(tokens int)) ([]int32, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // stops the engine at the end of the text
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

// start returns the beginning of the text with the given number.
func (w *textWriter) start(number int, length int, seed uint64) textStart {
	begin := textStart{ends: 1, seed: seed + uint64(number)}
	cycle := w.cycle(length)
	if len(cycle) == 0 {
		begin.tokens = w.randomStart(rand.New(rand.NewPCG(seed, uint64(number))))
		return begin
	}
	switch kind, nth := beginning(cycle, number); kind {
	case beginChat:
		begin.tokens, begin.ends = w.chat, 2
	case beginRequest:
		begin.tokens = pick(w.requests, nth, seed)
	case beginOpening:
		begin.tokens = pick(w.openings, nth, seed)
		begin.tokens = begin.tokens[:min(len(begin.tokens), length/2)]
	}
	return begin
}

// cycle returns the kinds of beginnings that the model supports and that leave at least half of a sequence for the
// model to write.
func (w *textWriter) cycle(length int) []beginningKind {
	return slices.DeleteFunc(beginnings(), func(kind beginningKind) bool {
		switch kind {
		case beginChat:
			return len(w.chat) == 0 || len(w.chat) > length/2
		case beginRequest:
			return len(w.requests) == 0 || slices.ContainsFunc(w.requests, func(r []infer.Token) bool { return len(r) > length/2 })
		}
		return len(w.openings) == 0 || length < 2
	})
}

// pick returns the nth entry of a list in the order for a seed. The list repeats.
func pick(list [][]infer.Token, nth int, seed uint64) []infer.Token {
	return list[openingOrder(len(list), seed)[nth%len(list)]]
}

// randomStart returns BOS and a random token that has a text.
func (w *textWriter) randomStart(random *rand.Rand) []infer.Token {
	bos, _ := w.model.BOS()
	for range maxDraws {
		if t := infer.Token(random.IntN(w.model.VocabSize())); len(w.model.Piece(t, false)) > 0 {
			return []infer.Token{bos, t}
		}
	}
	return []infer.Token{bos} // a vocabulary with only control tokens
}

// maxDraws bounds the search for a token that has a text. In real vocabularies nearly all tokens have one.
const maxDraws = 1000
