package hffolder

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"prunellm/models"
)

// The pre-tokenizers that llama.cpp uses to split texts.
const (
	splitLlama3 = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	splitQwen2  = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`

	preLlama3 = "llama-bpe"
	preSmaug  = "smaug-bpe" // splits like preLlama3, but applies the merges even to a word that is a token
	preQwen2  = "qwen2"
	preSmol   = "smollm"
	preGPT2   = "gpt-2"
)

// preTokenizer is one step that splits a text, or a sequence of steps.
type preTokenizer struct {
	Type             string         `json:"type"`
	PreTokenizers    []preTokenizer `json:"pretokenizers,omitempty"`
	Pattern          *pattern       `json:"pattern,omitempty"`
	Behavior         string         `json:"behavior,omitempty"`
	Invert           *bool          `json:"invert,omitempty"`
	IndividualDigits *bool          `json:"individual_digits,omitempty"`
	AddPrefixSpace   *bool          `json:"add_prefix_space,omitempty"`
	TrimOffsets      *bool          `json:"trim_offsets,omitempty"`
	UseRegex         *bool          `json:"use_regex,omitempty"`
}

type pattern struct {
	Regex string `json:"Regex"`
}

// steps flattens sequences.
func (p preTokenizer) steps() []preTokenizer {
	if p.Type == "Sequence" {
		return p.PreTokenizers
	}
	if p.Type == "" {
		return nil
	}
	return []preTokenizer{p}
}

// byteLevel reports whether tokens are byte sequences that the vocabulary spells with one character per byte.
func (t *tokenizerJSON) byteLevel() bool {
	if t.Model.Type != "BPE" || t.Model.ByteFallback {
		return false
	}
	for _, step := range t.PreTokenizer.steps() {
		if step.Type == "ByteLevel" {
			return true
		}
	}
	return false
}

// postProcessor is one step that processes the tokens of a text, or a sequence of steps. TemplateProcessing adds
// special tokens.
type postProcessor struct {
	Type       string          `json:"type"`
	Processors []postProcessor `json:"processors"`
	Single     []struct {
		Special *struct {
			ID string `json:"id"` // the token's text
		} `json:"SpecialToken"`
	} `json:"single"`
}

// begins returns the special token that starts every text, or "" if there is none.
func (p postProcessor) begins() string {
	if p.Type == "TemplateProcessing" && len(p.Single) > 0 && p.Single[0].Special != nil {
		return p.Single[0].Special.ID
	}
	for _, step := range p.Processors {
		if token := step.begins(); token != "" {
			return token
		}
	}
	return ""
}

// pre returns llama.cpp's name of a pre-tokenizer, or an error for an unknown one. A wrong name would split texts into
// other tokens, and the model would answer a little worse for no visible reason.
func (p preTokenizer) pre() (string, error) {
	kind := ""
	for _, step := range p.steps() {
		switch step.Type {
		case "Digits":
			if step.IndividualDigits == nil || !*step.IndividualDigits {
				return "", unknownPre(step)
			}
			kind += "digits "
		case "Split":
			switch {
			case step.Pattern != nil && step.Pattern.Regex == splitLlama3:
				kind += "llama3 "
			case step.Pattern != nil && step.Pattern.Regex == splitQwen2:
				kind += "qwen2 "
			default:
				return "", unknownPre(step)
			}
		case "ByteLevel":
			if step.AddPrefixSpace != nil && *step.AddPrefixSpace {
				return "", unknownPre(step)
			}
			kind += "bytes"
			if step.UseRegex == nil || *step.UseRegex {
				kind += "-words"
			}
		default:
			return "", unknownPre(step)
		}
	}
	names := map[string]string{"digits bytes-words": preSmol, "bytes-words": preGPT2, "llama3 bytes": preLlama3, "qwen2 bytes": preQwen2}
	if name, ok := names[kind]; ok {
		return name, nil
	}
	return "", unknownPre(p)
}

func unknownPre(p preTokenizer) error {
	return fmt.Errorf("%w: the pre-tokenizer of %s (%.40q) is not one of %s, %s, %s or %s; make a GGUF file with llama.cpp's convert_hf_to_gguf.py",
		models.ErrUnsupported, tokenizerFile, p.Type, preGPT2, preSmol, preLlama3, preQwen2)
}

// vocabulary returns the vocabulary of a byte-level BPE model. It leaves out the tokens that other files add. size is
// the number of rows of the embedding.
func (t *tokenizerJSON) vocabulary(size int) (*vocabulary, error) {
	v := &vocabulary{model: models.ByteLevelBPE, begins: t.PostProcessor.begins()}
	var err error
	if v.pre, err = t.PreTokenizer.pre(); err != nil {
		return nil, err
	}
	if v.pre == preLlama3 && !t.Model.IgnoreMerges {
		v.pre = preSmaug
	}
	var ids map[string]int
	if err := json.Unmarshal(t.Model.Vocab, &ids); err != nil {
		return nil, fmt.Errorf("%s: vocab: %w", tokenizerFile, err)
	}
	present := make([]bool, size)
	highest := -1
	v.tokens, v.types = make([]string, size), make([]int32, size)
	place := func(id int, token string, kind int32) error {
		if id < 0 || id >= size {
			return fmt.Errorf("%s: token %.40q has id %d, but the embedding has %d rows", tokenizerFile, token, id, size)
		}
		if present[id] && v.tokens[id] != token {
			return fmt.Errorf("%s: token %d is both %.40q and %.40q", tokenizerFile, id, v.tokens[id], token)
		}
		present[id], v.tokens[id], v.types[id] = true, token, kind
		highest = max(highest, id)
		return nil
	}
	for token, id := range ids {
		if err := place(id, token, tokenNormal); err != nil {
			return nil, err
		}
	}
	for _, token := range t.Added {
		if err := place(token.ID, token.Content, tokenUserDefined); err != nil {
			return nil, err
		}
	}
	for id := range highest + 1 {
		if !present[id] {
			v.tokens[id], v.types[id] = fmt.Sprintf("[PAD%d]", id), tokenUnused
		}
	}
	v.tokens, v.types = v.tokens[:highest+1], v.types[:highest+1]
	v.merges, err = parseMerges(t.Model.Merges)
	return v, err
}

// parseMerges reads merges in either form: "a b" or ["a", "b"].
func parseMerges(raw json.RawMessage) ([]string, error) {
	var lines []string
	if json.Unmarshal(raw, &lines) == nil {
		return lines, nil
	}
	var pairs [][]string
	if err := json.Unmarshal(raw, &pairs); err != nil {
		return nil, fmt.Errorf("%s: merges: %w", tokenizerFile, err)
	}
	lines = make([]string, len(pairs))
	for i, pair := range pairs {
		if len(pair) != 2 || strings.Contains(pair[0], " ") {
			return nil, errors.New(tokenizerFile + ": a merge is not a pair of pieces without spaces")
		}
		lines[i] = pair[0] + " " + pair[1]
	}
	return lines, nil
}
