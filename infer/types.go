package infer

import (
	"context"
	"time"
)

// Token is an index into the model's vocabulary.
type Token int32

// Decoder is the engine's interface to a backend: one loaded model with one context. infer/llamacpp implements it.
//
// # Concurrency
//
// Tokenize, Piece and the descriptive methods may be called from any goroutine. Only the engine's owner goroutine calls
// Decode, Logits and the Sequence methods.
type Decoder interface {
	// Tokenize splits text (valid UTF-8, no NUL) into tokens. With special, it parses control tokens written in the
	// text. With bos, it prepends the beginning-of-sequence token if the model uses one.
	Tokenize(text string, bos, special bool) ([]Token, error)
	// Piece returns the bytes of a token, which may be incomplete UTF-8. It returns none for a token outside the
	// vocabulary, nor for a control token unless special is set.
	Piece(t Token, special bool) []byte
	// EndOfGeneration reports whether the token ends an answer.
	EndOfGeneration(t Token) bool
	VocabSize() int
	// ContextSize is the number of tokens one sequence may hold, prompt and answer together.
	ContextSize() int
	// Sequences is the number of sequences in the context; their ids are 0 to Sequences-1.
	Sequences() int
	// BatchSize is the largest number of entries one Decode accepts.
	BatchSize() int
	// HiddenSize is the length of Hidden's result.
	HiddenSize() int

	// Decode computes the entries and appends them to their sequences' caches.
	Decode(entries []Entry) error
	// Logits returns float32[vocab] for the entry at that index of the last Decode, which must have requested it. The slice
	// is the backend's memory, valid until the next Decode; the caller may change it.
	Logits(index int) []float32
	// Hidden returns float32[hidden] for an entry of the last Decode that requested it: the last layer's output after the
	// final norm, from which the model computes logits. The slice is valid until the next Decode.
	Hidden(index int) []float32
	// SequenceRemove removes positions [from, to) of a sequence; to < 0 means up to its end.
	SequenceRemove(seq, from, to int) error
	// SequenceCopy makes dst a copy of the whole of src.
	SequenceCopy(src, dst int) error

	// Close frees the context and the model. It is idempotent.
	Close() error
}

// Entry is one token of a batch.
type Entry struct {
	Token    Token
	Position int // from 0 within its sequence
	Sequence int
	Logits   bool // the entry needs Logits
	Hidden   bool // the entry needs Hidden
}

// Sampling holds the settings that choose the next token. Zero values are neutral, except that Temperature 0 is greedy: it
// selects the likeliest token, ties to the lower id.
type Sampling struct {
	Temperature       float64 // 0 is greedy
	TopK              int     // keep the k likeliest; 0 keeps all
	TopP              float64 // keep the likeliest whose sum reaches p; 0 and 1 keep all
	MinP              float64 // drop tokens below p times the likeliest; 0 keeps all
	TypicalP          float64 // locally typical sampling; 0 and 1 keep all
	RepetitionPenalty float64 // divides positive and multiplies negative logits of tokens seen; 0 and 1 are neutral
	RepetitionWindow  int     // tokens at the end of prompt and answer that RepetitionPenalty looks at; 0: all
	PresencePenalty   float64 // subtracted once from tokens generated
	FrequencyPenalty  float64 // subtracted for each time a token was generated
	Infill            bool    // end as soon as an end is likely, as llama.cpp's sampler of that name; needs TopK
	LogitBias         map[Token]float64
	Seed              uint64 // the same seed and settings give the same text
}

// Request describes one answer to generate.
type Request struct {
	Prompt    []Token
	MaxTokens int // tokens of the answer, at least 1
	Sampling  Sampling
	Stop      []string // text at which the answer ends; it is not part of the answer
	IgnoreEOS bool     // continue after an end-of-generation token
	Logprobs  int      // -1: none; otherwise the chosen token's log probability and that of the n likeliest
	Grammar   string   // GBNF that the answer must match, see CheckGrammar; "": none
	Thinking  Thinking // before the answer; it counts for MaxTokens, but stop strings and the grammar do not apply to it
	// Prediction is a text that much of the answer may repeat. It only makes the answer faster, if Options.DraftMax is set.
	Prediction []Token
	// PromptLogprobs requests log probabilities of the prompt's tokens too, as many as Logprobs. MaxTokens may then be 0.
	// Such a request does not use the prompt cache.
	PromptLogprobs bool
}

// FinishReason is the reason why an answer ended.
type FinishReason string

// The reasons for the end of an answer; "" while it continues.
const (
	FinishStop   FinishReason = "stop"   // a stop string or an end-of-generation token
	FinishLength FinishReason = "length" // MaxTokens or the context is used up
)

// TokenProb is a token with its natural log probability under the model's own distribution, before sampling settings.
type TokenProb struct {
	Token   Token
	Piece   []byte
	Logprob float64
}

// TokenInfo is a generated token with the requested number of likeliest alternatives.
type TokenInfo struct {
	TokenProb
	Top []TokenProb // likeliest first
}

// Chunk is the output of an answer since the last chunk.
type Chunk struct {
	Thinking string      // before the text: whole UTF-8 characters, without markers
	Text     string      // whole UTF-8 characters, without stop strings
	Tokens   []TokenInfo // the tokens whose text this is, when Logprobs >= 0
	Prompt   []TokenInfo // in the first chunk, with PromptLogprobs: the prompt's tokens; the first one's Logprob is NaN
	Finish   FinishReason
	Stop     string        // with FinishStop: the stop string that ended the answer; "" when a token did
	Usage    Usage         // so far
	Queued   time.Duration // from Submit until the request got a sequence
}

// Usage counts tokens of one request.
type Usage struct {
	Prompt     int // tokens of the prompt
	Cached     int // of these, taken from the prompt cache
	Completion int // tokens generated, including the one that ended the answer
	Thinking   int // of these, tokens of the thinking and its markers
	Drafted    int // predicted tokens that the model verified
	Accepted   int // of these, tokens of the answer
}

// Generation is a running answer.
type Generation interface {
	// Next waits for the next chunk. After the chunk with a Finish it returns io.EOF. If Submit's context ends, it returns
	// that context's error. If the engine fails or closes, it returns an error that wraps ErrEngine.
	Next(ctx context.Context) (Chunk, error)
}
