package server

import (
	"context"
	"fmt"
	"io"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"unicode/utf8"

	"prunellm/infer"
	"prunellm/openapi"
)

const (
	fakeEnd     = infer.Token(256) // "<|end|>"
	fakeBOS     = infer.Token(257) // "<s>"
	fakeVocab   = 258
	fakeContext = 256
)

// fakeModels is a Models with one variant whose tokens are bytes. Tests set its answers.
type fakeModels struct {
	answer   func(r infer.Request) string // nil: a greeting that depends on the seed
	wait     func(ctx context.Context, token int) error
	submit   func(r infer.Request) error
	acquire  func(ctx context.Context, name openapi.ModelName) error
	status   Status
	template string // of chats
	stage    string // of the file that answers
	context  int    // tokens
	slots    []infer.Slot
	list     []openapi.Model // nil: tiny@0.2 and tiny@0
	load     Load
	panicAt  int // token at which a generation panics; 0: never
	acquired atomic.Int64
	released atomic.Int64

	mu       sync.Mutex
	requests []infer.Request
	together atomic.Int64 // calls of SubmitN
	running  atomic.Int64
}

func newFake() *fakeModels {
	return &fakeModels{status: Status{Ready: true}, context: fakeContext, template: toolsUnknown, stage: "refined"}
}

func (m *fakeModels) Acquire(ctx context.Context, name openapi.ModelName) (*Variant, error) {
	if m.acquire != nil {
		if err := m.acquire(ctx, name); err != nil {
			return nil, err
		}
	}
	if name.Base != "" && name.Base != "tiny" {
		return nil, fmt.Errorf("%w: %q; there is tiny", ErrModelNotFound, name.Base)
	}
	ratio := 0.2
	if name.Explicit {
		ratio = name.Ratio
	}
	if ratio > 0.5 {
		return nil, &RatioError{Ratio: ratio, Max: 0.5}
	}
	m.acquired.Add(1)
	v := &fakeVariant{models: m}
	return &Variant{
		Engine:  Engine{Generator: v, Grammars: v, Vocabulary: v, Embedder: v, HiddenSize: 2},
		Name:    "tiny@" + openapi.FormatRatio(ratio),
		Stage:   m.stage,
		Digest:  "file-" + m.stage,
		Release: func() { m.released.Add(1) },
	}, nil
}

func (m *fakeModels) List() []openapi.Model {
	if m.list != nil {
		return m.list
	}
	return []openapi.Model{
		{ID: "tiny@0.2", Object: "model", Created: 1700000000, OwnedBy: "prunellm", Card: &openapi.Card{Ratio: 0.2, RatioReached: 0.197, Parameters: 1000, Bytes: 4000}},
		{ID: "tiny@0", Object: "model", Created: 1700000000, OwnedBy: "prunellm"},
	}
}

func (m *fakeModels) Status() Status { return m.status }

func (m *fakeModels) Load() Load { return m.load }

func (m *fakeModels) Slots(name openapi.ModelName) (string, []infer.Slot, error) {
	if name.Base != "" && name.Base != "tiny" {
		return "", nil, fmt.Errorf("%w: %q; there is tiny", ErrModelNotFound, name.Base)
	}
	if name.Explicit && name.Ratio != 0.2 {
		return "", nil, &NotReadyError{Progress: "it is not loaded"}
	}
	return "tiny@0.2", m.slots, nil
}

func (m *fakeModels) last() infer.Request {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.requests[len(m.requests)-1]
}

// fakeVariant implements every part of an Engine.
type fakeVariant struct{ models *fakeModels }

func (v *fakeVariant) VocabSize() int   { return fakeVocab }
func (v *fakeVariant) ContextSize() int { return v.models.context }

func (v *fakeVariant) Tokenize(text string, bos, special bool) ([]infer.Token, error) {
	var out []infer.Token
	if bos {
		out = append(out, fakeBOS)
	}
	for len(text) > 0 {
		switch {
		case special && strings.HasPrefix(text, "<s>"):
			out, text = append(out, fakeBOS), text[len("<s>"):]
		case special && strings.HasPrefix(text, "<|end|>"):
			out, text = append(out, fakeEnd), text[len("<|end|>"):]
		default:
			out, text = append(out, infer.Token(text[0])), text[1:]
		}
	}
	return out, nil
}

func (v *fakeVariant) Piece(t infer.Token, special bool) []byte {
	switch {
	case t >= 0 && t < 256:
		return []byte{byte(t)}
	case t == fakeEnd && special:
		return []byte("<|end|>")
	case t == fakeBOS && special:
		return []byte("<s>")
	}
	return nil
}

func (v *fakeVariant) SubmitN(ctx context.Context, r infer.Request, n int) ([]infer.Generation, error) {
	v.models.together.Add(1)
	out := make([]infer.Generation, n)
	for i := range out {
		var err error
		if out[i], err = v.Submit(ctx, r); err != nil {
			return nil, err
		}
		r.Sampling.Seed++
	}
	return out, nil
}

// Embed returns vectors made of the prompt's length and first token.
func (v *fakeVariant) Embed(_ context.Context, prompts [][]infer.Token) ([][]float32, infer.Usage, error) {
	var vectors [][]float32
	var usage infer.Usage
	for _, prompt := range prompts {
		if len(prompt) > fakeContext {
			return nil, usage, &infer.ContextError{Prompt: len(prompt), Context: fakeContext, Whole: true}
		}
		vectors = append(vectors, []float32{float32(len(prompt)), float32(prompt[0]) + 0.5})
		usage.Prompt += len(prompt)
	}
	return vectors, usage, nil
}

func (v *fakeVariant) CheckGrammar(gbnf string) error {
	if !strings.Contains(gbnf, "root ::=") {
		return &infer.ParameterError{Field: "grammar", Reason: "has no rule root"}
	}
	return nil
}

func (v *fakeVariant) PatternGrammar(pattern string) (string, error) {
	if strings.Contains(pattern, "hopeless") {
		return "", &infer.ParameterError{Field: "pattern", Reason: "cannot be expressed"}
	}
	return "root ::= pattern\npattern ::= \"" + pattern + "\"\n", nil
}

func (v *fakeVariant) SchemaGrammar(schema []byte, strict bool) (string, error) {
	if strict && strings.Contains(string(schema), "uniqueItems") {
		return "", &infer.ParameterError{Field: "schema", Reason: "uniqueItems cannot be expressed"}
	}
	if strings.Contains(string(schema), "hopeless") {
		return "", &infer.ParameterError{Field: "schema", Reason: "cannot be expressed"}
	}
	if string(schema) == `{}` || string(schema) == `{"title":"A"}` {
		return "root ::= \"5\" | \"{\" value\nvalue ::= \"}\"\n", nil
	}
	return "root ::= \"{\" [^}\\x00]{0,9} value\nvalue ::= \"}\"\n", nil
}

func (v *fakeVariant) Submit(ctx context.Context, r infer.Request) (infer.Generation, error) {
	if v.models.submit != nil {
		if err := v.models.submit(r); err != nil {
			return nil, err
		}
	}
	v.models.mu.Lock()
	v.models.requests = append(v.models.requests, r)
	v.models.mu.Unlock()
	text := fmt.Sprintf("Grüß dich %d", r.Sampling.Seed%1000)
	if v.models.answer != nil {
		text = v.models.answer(r)
	}
	g := &fakeGeneration{models: v.models, ctx: ctx, request: r, rest: text, split: infer.NewSplitter(r.Thinking)}
	v.models.running.Add(1)
	// As in the engine, the end of its context ends a generation, even if nothing waits for the next chunk.
	context.AfterFunc(ctx, g.end)
	return g, nil
}

// fakeGeneration yields one character per chunk, and one token per byte.
type fakeGeneration struct {
	models  *fakeModels
	ctx     context.Context
	request infer.Request
	rest    string
	split   *infer.Splitter
	tokens  int
	thought int // tokens before the answer
	done    bool
	ended   sync.Once
}

func (g *fakeGeneration) end() { g.ended.Do(func() { g.models.running.Add(-1) }) }

func (g *fakeGeneration) Next(context.Context) (chunk infer.Chunk, err error) {
	if g.done {
		return chunk, io.EOF
	}
	defer func() {
		if err != nil || chunk.Finish != "" {
			g.done = true
			g.end()
		}
	}()
	if g.models.panicAt > 0 && g.tokens+1 == g.models.panicAt {
		panic("the engine is broken")
	}
	if g.models.wait != nil {
		if err := g.models.wait(g.ctx, g.tokens); err != nil {
			return chunk, err
		}
	}
	if err := g.ctx.Err(); err != nil {
		return chunk, err
	}
	if g.request.PromptLogprobs && g.tokens == 0 {
		for i, token := range g.request.Prompt {
			info := infer.TokenInfo{TokenProb: infer.TokenProb{Token: token, Piece: (*fakeVariant)(nil).Piece(token, true), Logprob: -float64(i)}}
			if i == 0 {
				info.Logprob = math.NaN()
			}
			chunk.Prompt = append(chunk.Prompt, info)
		}
	}
	if g.request.PromptLogprobs && g.request.MaxTokens == 0 {
		chunk.Finish = infer.FinishLength
	} else if g.rest == "" {
		g.tokens++
		chunk.Finish = infer.FinishStop
	} else {
		_, size := utf8.DecodeRuneInString(g.rest)
		for _, stop := range g.request.Stop {
			if strings.HasPrefix(g.rest, stop) {
				g.tokens += len(stop)
				chunk.Finish, chunk.Stop = infer.FinishStop, stop
				chunk.Usage = infer.Usage{Prompt: len(g.request.Prompt), Cached: 1, Completion: g.tokens, Drafted: 3, Accepted: 2}
				return chunk, nil
			}
		}
		thought, answer := g.split.Add([]byte(g.rest[:size]))
		chunk.Thinking, chunk.Text, g.rest = string(thought), string(answer), g.rest[size:]
		for _, b := range []byte(chunk.Text) {
			info := infer.TokenInfo{TokenProb: infer.TokenProb{Token: infer.Token(b), Piece: []byte{b}, Logprob: -0.5}}
			for k := range max(g.request.Logprobs, 0) {
				info.Top = append(info.Top, infer.TokenProb{Token: infer.Token(k), Piece: []byte{byte('a' + k)}, Logprob: -float64(k)})
			}
			chunk.Tokens = append(chunk.Tokens, info)
		}
		g.tokens += size
		if len(chunk.Text) == 0 {
			g.thought += size
		}
		if g.tokens >= g.request.MaxTokens {
			chunk.Finish = infer.FinishLength
		}
	}
	if chunk.Finish != "" {
		thought, answer := g.split.End(chunk.Finish == infer.FinishLength)
		chunk.Thinking, chunk.Text = chunk.Thinking+string(thought), chunk.Text+string(answer)
	}
	if g.request.Logprobs < 0 {
		chunk.Tokens = nil
	}
	chunk.Usage = infer.Usage{Prompt: len(g.request.Prompt), Cached: 1, Completion: g.tokens, Thinking: g.thought, Drafted: 3, Accepted: 2}
	return chunk, nil
}
