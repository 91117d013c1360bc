package server

import (
	"context"

	"prunellm/infer"
)

// Variant is one loaded model, held by one request until Release.
type Variant struct {
	Engine
	Name    string // "name@ratio", also for a request that named no ratio
	Release func() // gives the variant back; called once
}

// Engine is what requests use of a loaded model, by who uses it.
//
// # Concurrency
//
// All methods may be called from several goroutines.
type Engine struct {
	Generator
	Grammars
	Vocabulary
	Embedder
	HiddenSize int // the length of Embed's vectors
}

// Generator generates text; see job.go.
type Generator interface {
	// Submit queues a request. When ctx ends, so does the generation. Errors: infer.ErrQueueFull, infer.ErrEngine,
	// *infer.ContextError, *infer.ParameterError; all may be wrapped.
	Submit(ctx context.Context, request infer.Request) (infer.Generation, error)
	// SubmitN queues n answers to one prompt, which is prefilled once; the seed of answer i is the request's plus i.
	// Errors are those of Submit.
	SubmitN(ctx context.Context, request infer.Request, n int) ([]infer.Generation, error)
}

// Grammars are the grammars that generations can be held to; see chat.go and prompt.go.
type Grammars interface {
	// CheckGrammar refuses GBNF that generations cannot be held to, with a *infer.ParameterError.
	CheckGrammar(gbnf string) error
	// SchemaGrammar returns the GBNF of a JSON schema; its first rule is root. It refuses a strict schema that it cannot
	// express, with a *infer.ParameterError, and leaves out of any other what it cannot express.
	SchemaGrammar(schema []byte, strict bool) (gbnf string, err error)
	// PatternGrammar returns the GBNF of the texts that a regular expression matches as a whole. It refuses one that it
	// cannot express, with a *infer.ParameterError.
	PatternGrammar(pattern string) (gbnf string, err error)
}

// Vocabulary turns text into tokens and back, as infer.Decoder does; see prompt.go.
type Vocabulary interface {
	Tokenize(text string, bos, special bool) ([]infer.Token, error)
	Piece(t infer.Token, special bool) []byte
	VocabSize() int
	ContextSize() int
}

// Embedder turns prompts into vectors; see embedding.go.
type Embedder interface {
	// Embed returns each prompt's vector, float32[HiddenSize] of length 1, in order. Errors are those of Submit.
	Embed(ctx context.Context, prompts [][]infer.Token) ([][]float32, infer.Usage, error)
}
