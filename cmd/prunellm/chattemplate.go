package main

import (
	"fmt"
	"log/slog"

	"prunellm/internal/chat"
	"prunellm/internal/chattemplate"
	"prunellm/models"
	"prunellm/openapi"
)

// chatFlags choose the chat template, and whether models think.
type chatFlags struct {
	ChatTemplate    string `help:"Jinja file that replaces the model's own chat template." type:"path" placeholder:"FILE"`
	Reasoning       string `help:"Default for requests: whether the model thinks before it answers. auto is the default of its chat template." enum:"auto,on,off" default:"auto"`
	ReasoningBudget int    `help:"Default for requests: thinking tokens at most. -1: no limit; 0: no thinking, as --reasoning off." default:"-1" placeholder:"N"`
}

// Validate checks the budget.
func (f chatFlags) Validate() error {
	if f.ReasoningBudget < -1 {
		return fmt.Errorf("--reasoning-budget is %d but must be at least -1", f.ReasoningBudget)
	}
	return nil
}

// thinking returns the settings for requests that have none of their own.
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
			log.Warn("the model has no chat template: using ChatML; set --chat-template to use another", "model", model.Path())
		}
		return chattemplate.OfModel(model)
	}
	template, err := chattemplate.FromFile(model, f.ChatTemplate)
	if err != nil {
		return nil, usageError{fmt.Errorf("--chat-template: %w", err)}
	}
	return template, nil
}
