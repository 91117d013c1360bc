package models

import "slices"

// FIM are the texts of the control tokens by which a model fills in the middle of a text. Repository and File may be empty; the
// others are all there, or the model has none.
type FIM struct{ Prefix, Suffix, Middle, Repository, File string }

// fimTokens lists, for each token, the keys that name it and the texts by which llama.cpp knows it where no key does.
var fimTokens = []struct {
	field func(*FIM) *string
	keys  []string // behind tokenizer.ggml.
	texts []string
}{
	{func(f *FIM) *string { return &f.Prefix }, []string{"fim_pre_token_id", "prefix_token_id"},
		[]string{"<|fim_prefix|>", "<fim-prefix>", "<fim_prefix>", "<｜fim▁begin｜>", "<PRE>", "▁<PRE>", "<|code_prefix|>"}},
	{func(f *FIM) *string { return &f.Suffix }, []string{"fim_suf_token_id", "suffix_token_id"},
		[]string{"<|fim_suffix|>", "<fim-suffix>", "<fim_suffix>", "<｜fim▁hole｜>", "<SUF>", "▁<SUF>", "<|code_suffix|>"}},
	{func(f *FIM) *string { return &f.Middle }, []string{"fim_mid_token_id", "middle_token_id"},
		[]string{"<|fim_middle|>", "<fim-middle>", "<fim_middle>", "<｜fim▁end｜>", "<MID>", "▁<MID>", "<|code_middle|>"}},
	{func(f *FIM) *string { return &f.Repository }, []string{"fim_rep_token_id"},
		[]string{"<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>"}},
	{func(f *FIM) *string { return &f.File }, []string{"fim_sep_token_id"}, []string{"<|file_sep|>"}},
}

// FIM returns the tokens that the file names, or whose texts are known. It returns none if one of the first three is missing.
func (g *GGUF) FIM() FIM {
	tokens, err := g.file.Strings(tokenizerPrefix + "tokens")
	if err != nil {
		return FIM{}
	}
	var out FIM
	for _, row := range fimTokens {
		*row.field(&out) = g.fimToken(tokens, row.keys, row.texts)
	}
	if out.Prefix == "" || out.Suffix == "" || out.Middle == "" {
		return FIM{}
	}
	return out
}

func (g *GGUF) fimToken(tokens, keys, texts []string) string {
	for _, key := range keys {
		if id, err := g.file.Int(tokenizerPrefix + key); err == nil && id >= 0 && id < int64(len(tokens)) {
			return tokens[id]
		}
	}
	for _, text := range texts {
		if slices.Contains(tokens, text) {
			return text
		}
	}
	return ""
}
