package models_test

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"prunellm/internal/tinymodel"
	"prunellm/models"
	"prunellm/models/gguf"
)

// withTokens writes a model whose last tokens have other texts, and opens it.
func withTokens(t *testing.T, texts []string, keys ...gguf.KV) *models.GGUF {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tiny.gguf")
	if err := tinymodel.Write(path, tinymodel.Options{Vocab: 400}); err != nil {
		t.Fatal(err)
	}
	plain, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := plain.Strings("tokenizer.ggml.tokens")
	if err != nil {
		t.Fatal(err)
	}
	_ = plain.Close()
	tokens = slices.Clone(tokens)
	copy(tokens[len(tokens)-len(texts):], texts)
	keys = append(keys, gguf.KV{Key: "tokenizer.ggml.tokens", Value: tokens})
	if err := tinymodel.Write(path, tinymodel.Options{Vocab: 400, Keys: keys}); err != nil {
		t.Fatal(err)
	}
	model, err := models.OpenGGUF(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = model.Close() })
	return model
}

func TestFIM(t *testing.T) {
	id := func(key string, id uint32) gguf.KV { return gguf.KV{Key: "tokenizer.ggml." + key, Value: id} }
	for name, test := range map[string]struct {
		texts []string
		keys  []gguf.KV
		want  models.FIM
	}{
		"none":       {nil, nil, models.FIM{}},
		"Qwen":       {[]string{"<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<|repo_name|>", "<|file_sep|>"}, nil, models.FIM{Prefix: "<|fim_prefix|>", Suffix: "<|fim_suffix|>", Middle: "<|fim_middle|>", Repository: "<|repo_name|>", File: "<|file_sep|>"}},
		"DeepSeek":   {[]string{"<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"}, nil, models.FIM{Prefix: "<｜fim▁begin｜>", Suffix: "<｜fim▁hole｜>", Middle: "<｜fim▁end｜>"}},
		"incomplete": {[]string{"<PRE>", "<MID>", "<|file_sep|>"}, nil, models.FIM{}},
		"by keys":    {[]string{"<1>", "<2>", "<3>", "<PRE>"}, []gguf.KV{id("fim_pre_token_id", 396), id("suffix_token_id", 397), id("fim_mid_token_id", 398)}, models.FIM{Prefix: "<1>", Suffix: "<2>", Middle: "<3>"}},
		"beyond":     {[]string{"<1>", "<2>"}, []gguf.KV{id("fim_pre_token_id", 398), id("fim_suf_token_id", 399), id("fim_mid_token_id", 400)}, models.FIM{}},
	} {
		t.Run(name, func(t *testing.T) {
			model := withTokens(t, test.texts, test.keys...)
			if diff := cmp.Diff(test.want, model.FIM()); diff != "" {
				t.Errorf("FIM (-want +got):\n%s", diff)
			}
			if prefix := test.want.Prefix; prefix != "" && !slices.Contains(model.ControlTexts(), prefix) {
				t.Errorf("control texts %q lack %q", model.ControlTexts(), prefix)
			}
		})
	}
}
