package server

import (
	"context"

	"prunellm/infer"
)

// Variant is one loaded model, held by one request until Release.
type Variant struct {
	Engine
	Name    string // "name@ratio", even if the request named no ratio
	Stage   string // of the file: the startup variant's gets better while the server runs
	Digest  string // of the file; the same digest and seed give the same text
	Release func() // releases the variant; called once
}

// Engine groups the interfaces through which requests use a loaded model.
//
// # Concurrency
//
// All methods may be called from several goroutines.
type Engine struct {
	Generator
	Grammars
	Vocabulary
	Embedder
	HiddenSize int // the length of vectors that Embed returns
}

// Generator generates text; see job.go.
type Generator interface {
	// Submit queues a request. The generation ends with ctx. Errors: infer.ErrQueueFull, infer.ErrEngine,
	// *infer.ContextError, *infer.ParameterError, possibly wrapped.
	Submit(ctx context.Context, request infer.Request) (infer.Generation, error)
	// SubmitN queues n answers to one prompt, which is prefilled once. The seed of answer i is the request's seed plus
	// i. Errors are those of Submit.
	SubmitN(ctx context.Context, request infer.Request, n int) ([]infer.Generation, error)
}

// Grammars compiles the constraints that generations follow; see chat.go and prompt.go.
type Grammars interface {
	// CheckGrammar returns a *infer.ParameterError if gbnf is not a grammar that the engine supports.
	CheckGrammar(gbnf string) error
	// SchemaGrammar returns the GBNF of a JSON schema; its first rule is root. If it cannot express a strict schema, it
	// returns a *infer.ParameterError. In any other schema it ignores what it cannot express.
	SchemaGrammar(schema []byte, strict bool) (gbnf string, err error)
	// PatternGrammar returns the GBNF of the texts that a regular expression matches as a whole. If it cannot express
	// the expression, it returns a *infer.ParameterError.
	PatternGrammar(pattern string) (gbnf string, err error)
}

// Vocabulary tokenizes text and returns the text of tokens, as infer.Decoder does; see prompt.go.
type Vocabulary interface {
	Tokenize(text string, bos, special bool) ([]infer.Token, error)
	Piece(t infer.Token, special bool) []byte
	VocabSize() int
	ContextSize() int
}

// Embedder computes the vectors of prompts; see embedding.go.
type Embedder interface {
	// Embed returns each prompt's vector, float32[HiddenSize] of length 1, in order. Errors are those of Submit.
	Embed(ctx context.Context, prompts [][]infer.Token) ([][]float32, infer.Usage, error)
}
