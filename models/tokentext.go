package models

// TokenText returns a token as the vocabulary spells it, for the special tokens of chat templates. It returns "" for an id
// outside the vocabulary, such as the -1 of a token that the file does not name.
func (g *GGUF) TokenText(id int) string {
	tokens, err := g.file.Strings(tokenizerPrefix + "tokens")
	if err != nil || id < 0 || id >= len(tokens) {
		return ""
	}
	return tokens[id]
}
