package models

// Values of the key tokenizer.ggml.token_type.
const (
	unknownToken = 2
	controlToken = 3
)

// TokenText returns a token as the vocabulary spells it, for the special tokens of chat templates. It returns "" for an id
// outside the vocabulary, such as the -1 of a token that the file does not name.
func (g *GGUF) TokenText(id int) string {
	tokens, err := g.file.Strings(tokenizerPrefix + "tokens")
	if err != nil || id < 0 || id >= len(tokens) {
		return ""
	}
	return tokens[id]
}

// ControlTexts returns the texts of the tokens that are no text: those that the file types as control or unknown tokens,
// and those that it names for the begin and end of texts and turns.
func (g *GGUF) ControlTexts() []string {
	tokens, err := g.file.Strings(tokenizerPrefix + "tokens")
	if err != nil {
		return nil
	}
	var texts []string
	value, _ := g.file.Value(tokenizerPrefix + "token_type")
	types, _ := value.([]int32) // as long as tokens: TokenizerFromGGUF checks it
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
	return texts
}
