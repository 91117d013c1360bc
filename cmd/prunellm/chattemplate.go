package main

import (
	"fmt"
	"log/slog"

	"prunellm/internal/chat"
	"prunellm/internal/regularfile"
	"prunellm/internal/trust"
	"prunellm/models"
	"prunellm/openapi"
)

// maxTemplateBytes bounds the file of --chat-template.
const maxTemplateBytes = 1 << 20

// chatFlags choose the chat template, and whether models think.
type chatFlags struct {
	ChatTemplate    string `help:"Jinja file that replaces the model's own chat template." type:"path" placeholder:"FILE"`
	Reasoning       string `help:"Whether a model thinks before it answers, if requests do not say it: auto is as its chat template has it." enum:"auto,on,off" default:"auto"`
	ReasoningBudget int    `help:"Tokens that a model may think, if requests do not say it; -1: any number, 0: as --reasoning off." default:"-1" placeholder:"N"`
}

// Validate checks the budget.
func (f chatFlags) Validate() error {
	if f.ReasoningBudget < -1 {
		return fmt.Errorf("--reasoning-budget is %d, want -1 or more", f.ReasoningBudget)
	}
	return nil
}

// thinking is what holds for requests that say nothing about thinking.
func (f chatFlags) thinking() openapi.Thinking {
	out := openapi.Thinking{Budget: &f.ReasoningBudget}
	if on := f.Reasoning == "on"; on || f.Reasoning == "off" || f.ReasoningBudget == 0 {
		out.Enabled = &on
	}
	return out
}

// template parses the file of --chat-template, or without the flag the model's template.
func (f chatFlags) template(model *models.GGUF, log *slog.Logger) (*chat.Template, error) {
	if f.ChatTemplate == "" {
		if model.Tokenizer().ChatTemplate == "" {
			log.Warn("the model has no chat template, ChatML is used: name one by --chat-template", "model", model.Path())
		}
		return modelTemplate(model)
	}
	template, err := readTemplate(model, f.ChatTemplate)
	if err != nil {
		return nil, usageError{fmt.Errorf("--chat-template: %w", err)}
	}
	return template, nil
}

// readTemplate parses a template file. A file that other users can change is an error.
func readTemplate(model *models.GGUF, path string) (*chat.Template, error) {
	if _, err := trust.Resolve(path); err != nil {
		return nil, err
	}
	source, err := regularfile.Read(path, maxTemplateBytes)
	if err != nil {
		return nil, err
	}
	if len(source) == 0 {
		return nil, fmt.Errorf("%q is empty", path)
	}
	template, err := parseTemplate(model, string(source))
	if err != nil {
		return nil, fmt.Errorf("%q: %w", path, err)
	}
	return template, nil
}

// modelTemplate parses the model's chat template.
func modelTemplate(model *models.GGUF) (*chat.Template, error) {
	template, err := parseTemplate(model, model.Tokenizer().ChatTemplate)
	if err != nil {
		return nil, fmt.Errorf("chat template of %q: %w", model.Path(), err)
	}
	return template, nil
}

func parseTemplate(model *models.GGUF, source string) (*chat.Template, error) {
	tokenizer := model.Tokenizer()
	template, err := chat.New(source, model.TokenText(tokenizer.BOS), model.TokenText(tokenizer.EOS))
	if err != nil {
		return nil, err
	}
	template.Guard(model.ControlTexts())
	return template, nil
}

// inspectTemplate returns lines that describe a model's chat template. The error says why it does not render.
func inspectTemplate(path string) ([]string, error) {
	model, err := models.OpenServable(path, nil)
	if err != nil {
		return nil, err
	}
	defer model.Close()
	template, err := modelTemplate(model)
	if err != nil {
		return nil, err
	}
	return template.Describe()
}
