package llamacpp

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"prunellm/infer"
)

// maxTextBytes bounds the text of Tokenize. The text of a million tokens is about a quarter of it.
const maxTextBytes = 16 << 20

const (
	flagEndOfGeneration = 1 << iota
	flagControl
)

// vocabulary holds the bytes of every token, so that no piece needs a call into C.
type vocabulary struct {
	bytes  []byte   // all pieces, one after another
	ends   []uint32 // where each piece ends in bytes
	flags  []uint8  // flagEndOfGeneration, flagControl
	bos    infer.Token
	addBOS bool

	bytePair bool     // tokenized by merging bytes after a split into words
	controls []string // pieces of the control tokens, at most maxControls
}

// maxControls bounds the control tokens that segment knows.
const maxControls = 1 << 10

func (v *vocabulary) listControls() {
	for t, flags := range v.flags {
		if piece := v.piece(infer.Token(t), true); flags&flagControl != 0 && len(piece) > 1 && len(v.controls) < maxControls {
			v.controls = append(v.controls, string(piece))
		}
	}
}

func (v *vocabulary) piece(t infer.Token, special bool) []byte {
	if t < 0 || int(t) >= len(v.ends) || (!special && v.flags[t]&flagControl != 0) {
		return nil
	}
	start := uint32(0)
	if t > 0 {
		start = v.ends[t-1]
	}
	return v.bytes[start:v.ends[t]:v.ends[t]]
}

// Piece implements infer.Decoder. The bytes belong to the model and must not be changed.
func (m *Model) Piece(t infer.Token, special bool) []byte { return m.vocab.piece(t, special) }

// EndOfGeneration implements infer.Decoder.
func (m *Model) EndOfGeneration(t infer.Token) bool {
	return t >= 0 && int(t) < len(m.vocab.flags) && m.vocab.flags[t]&flagEndOfGeneration != 0
}

// VocabSize implements infer.Decoder.
func (m *Model) VocabSize() int { return len(m.vocab.ends) }

// given holds which special tokens a file names.
type given struct{ bos, eos bool }

// endTexts are the texts of tokens that always end an answer in llama.cpp, whatever the file says.
var endTexts = [...]string{"<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<end_of_turn>", "<|endoftext|>", "<|eom_id|>",
	"<EOT>", "_<EOT>", "<|end_of_text|>", "<end_of_utterance>"}

// dropDefaults clears llama.cpp's default ids of BOS and EOS if the file has none. These are ids of other models, and in this
// vocabulary ordinary words. An EOS that ends answers for another reason stays: its text is in endTexts, or named lists it.
func (v *vocabulary) dropDefaults(g given, eos infer.Token, named ...infer.Token) {
	if !g.bos {
		v.bos = -1
	}
	v.addBOS = v.addBOS && v.bos >= 0
	if g.eos || eos < 0 || int(eos) >= len(v.flags) || slices.Contains(named, eos) || slices.Contains(endTexts[:], string(v.piece(eos, true))) {
		return
	}
	v.flags[eos] &^= flagEndOfGeneration
}

// BOS returns the beginning-of-sequence token, or -1, and whether the model expects it before a text.
func (m *Model) BOS() (infer.Token, bool) { return m.vocab.bos, m.vocab.addBOS }

// Tokenize implements infer.Decoder. It refuses text that is not valid UTF-8, contains NUL or exceeds maxTextBytes.
func (m *Model) Tokenize(text string, bos, special bool) ([]infer.Token, error) {
	switch {
	case len(text) > maxTextBytes:
		return nil, &infer.ParameterError{Field: "text", Reason: fmt.Sprintf("%d bytes, at most %d can be tokenized", len(text), maxTextBytes)}
	case strings.IndexByte(text, 0) >= 0:
		return nil, &infer.ParameterError{Field: "text", Reason: "contains a NUL byte"}
	case !utf8.ValidString(text):
		return nil, &infer.ParameterError{Field: "text", Reason: "is not valid UTF-8"}
	}
	m.life.RLock()
	defer m.life.RUnlock()
	if m.closed {
		return nil, fmt.Errorf("tokenize: %w: the model is closed", infer.ErrEngine)
	}
	var tokens []infer.Token
	if bos && m.vocab.addBOS && m.vocab.bos >= 0 {
		tokens = append(tokens, m.vocab.bos)
	}
	var controls []string
	if special {
		controls = m.vocab.controls
	}
	for text != "" {
		part := text
		if m.vocab.bytePair {
			part = segment(text, controls)
		}
		var err error
		if tokens, err = m.appendTokens(tokens, part, special); err != nil {
			return nil, err
		}
		text = text[len(part):]
	}
	return tokens, nil
}

func (m *Model) appendTokens(tokens []infer.Token, text string, special bool) ([]infer.Token, error) {
	room := len(text)/3 + 16
	for range 2 {
		start := len(tokens)
		tokens = slices.Grow(tokens, room)
		n := tokenizeInto(modelVocab(rawModel(m.model)), text, special, tokens[start:start+room])
		if n >= 0 {
			return tokens[:start+n], nil
		}
		room = -n
	}
	return nil, fmt.Errorf("tokenize %d bytes: %w%s", len(text), infer.ErrEngine, takeError())
}
