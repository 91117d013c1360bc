package main

import (
	"fmt"
	"log/slog"

	"prunellm/internal/chat"
	"prunellm/internal/regularfile"
	"prunellm/internal/trust"
	"prunellm/models"
)

// maxTemplateBytes bounds the file of --chat-template.
const maxTemplateBytes = 1 << 20

// chatFlags choose how chats become prompts.
type chatFlags struct {
	ChatTemplate string `help:"Jinja file that replaces the model's own chat template." type:"path" placeholder:"FILE"`
}

// template parses the file of --chat-template, or else the model's own.
func (f chatFlags) template(model *models.GGUF, log *slog.Logger) (*chat.Template, error) {
	if f.ChatTemplate == "" {
		if model.Tokenizer().ChatTemplate == "" {
			log.Warn("the model has no chat template, ChatML is used: name one by --chat-template", "model", model.Path())
		}
		return modelTemplate(model)
	}
	if _, err := trust.Resolve(f.ChatTemplate); err != nil {
		return nil, usageError{fmt.Errorf("--chat-template: %w", err)}
	}
	source, err := regularfile.Read(f.ChatTemplate, maxTemplateBytes)
	if err != nil {
		return nil, usageError{fmt.Errorf("--chat-template: %w", err)}
	}
	if len(source) == 0 {
		return nil, usageError{fmt.Errorf("--chat-template: %q is empty", f.ChatTemplate)}
	}
	template, err := parseTemplate(model, string(source))
	if err != nil {
		return nil, usageError{fmt.Errorf("--chat-template: %q: %w", f.ChatTemplate, err)}
	}
	return template, nil
}

// modelTemplate parses the model's own chat template.
func modelTemplate(model *models.GGUF) (*chat.Template, error) {
	template, err := parseTemplate(model, model.Tokenizer().ChatTemplate)
	if err != nil {
		return nil, fmt.Errorf("chat template of %q: %w", model.Path(), err)
	}
	return template, nil
}

func parseTemplate(model *models.GGUF, source string) (*chat.Template, error) {
	tokenizer := model.Tokenizer()
	return chat.New(source, model.TokenText(tokenizer.BOS), model.TokenText(tokenizer.EOS))
}

// inspectTemplate describes a model's chat template, a line each. The error says why it renders nothing.
func inspectTemplate(path string) ([]string, error) {
	model, err := models.OpenGGUF(path, nil)
	if err != nil {
		return nil, err
	}
	defer model.Close()
	template, err := modelTemplate(model)
	if err != nil {
		return nil, err
	}
	prompt, notes, err := template.Probe()
	if err != nil {
		return nil, err
	}
	origin := fmt.Sprintf("%d bytes", len(model.Tokenizer().ChatTemplate))
	if model.Tokenizer().ChatTemplate == "" {
		origin = "none, ChatML is used"
	}
	lines := []string{fmt.Sprintf("chat template: %s; the message Hello becomes %q", origin, prompt)}
	for _, note := range notes {
		lines = append(lines, "chat template: "+note)
	}
	return lines, nil
}
