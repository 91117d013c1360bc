package models

import "slices"

// Values of the key tokenizer.ggml.token_type.
const (
	unknownToken = 2
	controlToken = 3
)

// TokenText returns a token as the vocabulary spells it, which chat templates need for special tokens. It returns ""
// for an id outside the vocabulary, such as -1, which stands for a token that the file does not name.
func (g *GGUF) TokenText(id int) string {
	tokens, err := g.file.Strings(tokenizerPrefix + "tokens")
	if err != nil || id < 0 || id >= len(tokens) {
		return ""
	}
	return tokens[id]
}

// ControlTexts returns the texts of tokens that do not stand for text. These are the tokens with type control or
// unknown, and those that the file names as the beginning or end of texts and turns.
func (g *GGUF) ControlTexts() []string {
	tokens, err := g.file.Strings(tokenizerPrefix + "tokens")
	if err != nil {
		return nil
	}
	var texts []string
	value, _ := g.file.Value(tokenizerPrefix + "token_type")
	types, _ := value.([]int32) // as long as tokens, as TokenizerFromGGUF checked
	for id, kind := range types {
		if kind == controlToken || kind == unknownToken {
			texts = append(texts, tokens[id])
		}
	}
	for _, id := range []int{g.tokenizer.BOS, g.tokenizer.EOS, g.tokenizer.EOT} {
		if text := g.TokenText(id); text != "" && (types == nil || types[id] != controlToken) {
			texts = append(texts, text)
		}
	}
	fim := g.FIM() // llama.cpp takes them as control tokens, whatever type the file gives them
	for _, text := range []string{fim.Prefix, fim.Suffix, fim.Middle, fim.Repository, fim.File} {
		if text != "" && !slices.Contains(texts, text) {
			texts = append(texts, text)
		}
	}
	return texts
}
