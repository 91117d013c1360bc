package models_test

import (
	"path/filepath"
	"slices"
	"testing"

	"prunellm/internal/tinymodel"
	"prunellm/models"
)

// ControlTexts lists the tokens with type control and no words.
func TestControlTexts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tiny.gguf")
	if err := tinymodel.Write(path, tinymodel.Options{}); err != nil {
		t.Fatal(err)
	}
	model, err := models.OpenGGUF(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer model.Close()
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
