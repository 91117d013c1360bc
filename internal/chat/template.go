package chat

import (
	"encoding/json"
	"errors"
	"fmt"

	"prunellm/internal/chat/jinja"
	"prunellm/openapi"
)

// ErrMessages is wrapped by Prompt when the template refuses the messages; the rest of the error tells why.
var ErrMessages = errors.New("chat template")

// Template is the chat format of one model.
type Template struct {
	jinja    *jinja.Template
	bos, eos string
	syntax   syntax
}

// New parses a model's chat template; an empty source means ChatML. bos and eos are the texts of the tokens that begin
// and end a sequence, empty where the model has none.
func New(source, bos, eos string) (*Template, error) {
	parsed, err := jinja.New(source, bos, eos)
	if err != nil {
		return nil, err
	}
	return &Template{jinja: parsed, bos: bos, eos: eos, syntax: syntaxOf(source)}, nil
}

// SpecialTokens returns the texts of the tokens that begin and end a sequence; empty where the model has none.
func (t *Template) SpecialTokens() (bos, eos string) { return t.bos, t.eos }

// Prompt turns messages into a prompt; with addGenerationPrompt it ends with the beginning of the model's turn. An error
// that wraps ErrMessages is the client's: the template refused the messages.
//
// Tools go into the template if it knows them. Otherwise the system message describes them, and calls and their results
// in the history become text.
func (t *Template) Prompt(messages []openapi.Message, tools []openapi.Tool, addGenerationPrompt bool) (string, error) {
	if t.syntax.known {
		return t.render(messages, tools, addGenerationPrompt)
	}
	plain := plainMessages(messages)
	if len(tools) == 0 {
		return t.render(plain, nil, addGenerationPrompt)
	}
	description := describeTools(tools)
	prompt, err := t.render(inSystem(plain, description), nil, addGenerationPrompt)
	if errors.Is(err, ErrMessages) && plain[0].Role == "user" { // some templates take no system message
		first := plain[0]
		first.Content = description + "\n\n" + first.Content
		return t.render(append([]openapi.Message{first}, plain[1:]...), nil, addGenerationPrompt)
	}
	return prompt, err
}

// render gives the template the wire's messages and tools.
func (t *Template) render(messages []openapi.Message, tools []openapi.Tool, addGenerationPrompt bool) (string, error) {
	turns := make([]jinja.Message, len(messages))
	for i, m := range messages {
		turns[i] = jinja.Message{Role: m.Role, Content: m.Content, Name: m.Name, ToolCallID: m.ToolCallID}
		for _, call := range m.ToolCalls {
			turns[i].ToolCalls = append(turns[i].ToolCalls, jinja.ToolCall{
				ID: call.ID, Name: call.Function.Name, Arguments: call.Function.Arguments,
			})
		}
	}
	definitions := make([]json.RawMessage, len(tools))
	for i, tool := range tools {
		definitions[i] = tool.Definition()
	}
	prompt, err := t.jinja.Render(turns, addGenerationPrompt, definitions...)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrMessages, err)
	}
	return prompt, nil
}
