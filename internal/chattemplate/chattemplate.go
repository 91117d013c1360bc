// Package chattemplate loads a model's chat template from the model's file or from a file that the user names.
package chattemplate

import (
	"fmt"

	"prunellm/internal/chat"
	"prunellm/internal/regularfile"
	"prunellm/internal/trust"
	"prunellm/models"
)

// maxBytes bounds the size of a template file.
const maxBytes = 1 << 20

// FromFile parses a template file for a model. It returns an error if other users can change the file.
func FromFile(model *models.GGUF, path string) (*chat.Template, error) {
	if _, err := trust.Resolve(path); err != nil {
		return nil, err
	}
	source, err := regularfile.Read(path, maxBytes)
	if err != nil {
		return nil, err
	}
	if len(source) == 0 {
		return nil, fmt.Errorf("%q is empty", path)
	}
	template, err := parse(model, string(source))
	if err != nil {
		return nil, fmt.Errorf("%q: %w", path, err)
	}
	return template, nil
}

// OfModel parses the model's own chat template.
func OfModel(model *models.GGUF) (*chat.Template, error) {
	template, err := parse(model, model.Tokenizer().ChatTemplate)
	if err != nil {
		return nil, fmt.Errorf("chat template of %q: %w", model.Path(), err)
	}
	return template, nil
}

func parse(model *models.GGUF, source string) (*chat.Template, error) {
	tokenizer := model.Tokenizer()
	template, err := chat.New(source, model.TokenText(tokenizer.BOS), model.TokenText(tokenizer.EOS))
	if err != nil {
		return nil, err
	}
	template.Guard(model.ControlTexts())
	return template, nil
}

// Describe returns lines that describe the chat template of the model in a file. It returns an error if the template
// does not render.
func Describe(path string) ([]string, error) {
	model, err := models.OpenServable(path, nil)
	if err != nil {
		return nil, err
	}
	defer model.Close()
	template, err := OfModel(model)
	if err != nil {
		return nil, err
	}
	return template.Describe()
}
