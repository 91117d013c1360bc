package models

import (
	"errors"
	"fmt"
	"strings"

	"prunellm/models/gguf"
)

// Values of Tokenizer.Model: llama.cpp's names for kinds of vocabularies.
const (
	ByteLevelBPE  = "gpt2"
	SentencePiece = "llama"
)

// Tokenizer describes the vocabulary of a GGUF file. It is checked so that llama.cpp can load and use the vocabulary
// without aborting the process. The engine, not this type, tokenizes texts.
type Tokenizer struct {
	Model        string // ByteLevelBPE or SentencePiece
	Pre          string // name of the pre-tokenizer; "" if the file names none
	Tokens       int    // size of the vocabulary
	BOS, EOS     int    // token ids; -1 if the file names none
	EOT          int    // end of turn; -1 if the file names none
	AddBOS       bool   // whether the file asks for BOS before every text
	ChatTemplate string // in Jinja; "" if the file has none
}

const (
	tokenizerPrefix   = "tokenizer.ggml."
	chatTemplateKey   = "tokenizer.chat_template"
	longToken         = 64      // bytes; for a longer token llama.cpp's work grows with the square of its length
	maxLongTokenWork  = 1 << 28 // sum of the squared lengths of long tokens
	maxTemplateBytes  = 1 << 20
	minVocabularySize = 12 // llama.cpp's default ids of special tokens are below it
)

// TokenizerFromGGUF reads and checks the vocabulary of a file whose embedding has vocab rows.
func TokenizerFromGGUF(f *gguf.File, vocab int) (Tokenizer, error) {
	r := &ggufReader{file: f, arch: "tokenizer.ggml"}
	t := Tokenizer{
		Model:        r.string(tokenizerPrefix + "model"),
		Pre:          r.stringOr(tokenizerPrefix+"pre", ""),
		BOS:          r.tokenID("bos_token_id", vocab),
		EOS:          r.tokenID("eos_token_id", vocab),
		EOT:          r.tokenID("eot_token_id", vocab),
		ChatTemplate: r.stringOr(chatTemplateKey, ""),
	}
	t.AddBOS = r.boolOr("add_bos_token", t.Model == SentencePiece)
	r.boolOr("add_eos_token", false)
	if r.err != nil {
		return Tokenizer{}, r.err
	}
	if t.Model != ByteLevelBPE && t.Model != SentencePiece {
		return Tokenizer{}, fmt.Errorf("%w: tokenizer %q; use a model with tokenizer %s or %s", ErrUnsupported, t.Model, ByteLevelBPE, SentencePiece)
	}
	if len(t.ChatTemplate) > maxTemplateBytes {
		return Tokenizer{}, fmt.Errorf("key %q has %d bytes; the limit is %d", chatTemplateKey, len(t.ChatTemplate), maxTemplateBytes)
	}
	tokens, err := f.Strings(tokenizerPrefix + "tokens")
	if err != nil {
		return Tokenizer{}, err
	}
	t.Tokens = len(tokens)
	if err := checkTokens(t.Model, tokens, vocab); err != nil {
		return Tokenizer{}, fmt.Errorf("key %q: %w", tokenizerPrefix+"tokens", err)
	}
	return t, checkTokenArrays(f, t)
}

func (r *ggufReader) boolOr(suffix string, fallback bool) bool {
	b, err := r.file.Bool(r.key(suffix))
	if errors.Is(err, gguf.ErrNoKey) {
		return fallback
	}
	if err != nil {
		r.fail(err)
	}
	return b
}

func (r *ggufReader) tokenID(suffix string, vocab int) int {
	if _, ok := r.file.Value(r.key(suffix)); !ok {
		return -1
	}
	id := r.int(suffix)
	if id >= vocab {
		r.fail(fmt.Errorf("key %q is %d, but the vocabulary has %d tokens", r.key(suffix), id, vocab))
	}
	return id
}

func checkTokens(model string, tokens []string, vocab int) error {
	if len(tokens) != vocab {
		return fmt.Errorf("%d tokens for an embedding of %d rows", len(tokens), vocab)
	}
	if vocab < minVocabularySize {
		return fmt.Errorf("%d tokens; at least %d are needed", vocab, minVocabularySize)
	}
	ids := make(map[string]int, len(tokens))
	work := 0
	for i, token := range tokens {
		token, _, _ = strings.Cut(token, "\x00") // llama.cpp reads C strings, which end at NUL
		if token == "" {
			token = fmt.Sprintf("[EMPTY_%d]", i) // as llama.cpp renames it
		}
		if first, twice := ids[token]; twice {
			return fmt.Errorf("tokens %d and %d are both %.40q", first, i, token)
		}
		ids[token] = i
		if len(token) > longToken {
			work += len(token) * len(token)
		}
		if work > maxLongTokenWork {
			return fmt.Errorf("too many long tokens up to token %d; use a vocabulary with shorter tokens", i)
		}
	}
	if model != SentencePiece {
		return nil
	}
	for b := range 256 {
		_, hex := ids[fmt.Sprintf("<0x%02X>", b)]
		_, raw := ids[string([]byte{byte(b)})]
		if !hex && !raw {
			return fmt.Errorf("no token for byte 0x%02X", b)
		}
	}
	return nil
}

// checkTokenArrays checks the types and lengths of the arrays that accompany the tokens. llama.cpp does not check them.
func checkTokenArrays(f *gguf.File, t Tokenizer) error {
	if value, ok := f.Value(tokenizerPrefix + "scores"); ok {
		if scores, ok := value.([]float32); !ok || len(scores) != t.Tokens {
			return fmt.Errorf("key %q must be an array of %d float32", tokenizerPrefix+"scores", t.Tokens)
		}
	}
	if value, ok := f.Value(tokenizerPrefix + "token_type"); ok {
		if types, ok := value.([]int32); !ok || len(types) != t.Tokens {
			return fmt.Errorf("key %q must be an array of %d int32", tokenizerPrefix+"token_type", t.Tokens)
		}
	}
	if t.Model == ByteLevelBPE {
		if _, err := f.Strings(tokenizerPrefix + "merges"); err != nil {
			return err
		}
	}
	return nil
}
