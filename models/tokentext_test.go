package models_test

import (
	"slices"
	"testing"

	"prunellm/internal/tinymodel"
)

// ControlTexts lists the tokens with type control and no words.
func TestControlTexts(t *testing.T) {
	model := tinymodel.Open(t, tinymodel.Options{})
	texts := model.ControlTexts()
	for _, id := range []int{model.Tokenizer().BOS, model.Tokenizer().EOS} {
		if text := model.TokenText(id); text != "" && !slices.Contains(texts, text) {
			t.Errorf("control tokens %q lack %q", texts, text)
		}
	}
	if len(texts) == 0 || len(texts) > 16 {
		t.Errorf("%d control tokens of %d: %q", len(texts), model.Tokenizer().Tokens, texts)
	}
}
