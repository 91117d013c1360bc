package chat

import (
	"errors"
	"fmt"

	"prunellm/internal/chat/jinja"
	"prunellm/openapi"
)

// Probe renders short conversations: a single message, whose prompt it returns, a system message, several turns, and a
// tool call with its result. It returns an error if the template fails on the single message. Each of the notes is a
// line about another conversation that the template rejects or fails on.
func (t *Template) Probe() (prompt string, notes []string, err error) {
	hello := openapi.Message{Role: "user", Content: "Hello"}
	if prompt, err = t.Prompt([]openapi.Message{hello}, nil, true); err != nil {
		return "", nil, err
	}
	call := openapi.ToolCall{ID: "call_00000", Type: "function", Function: openapi.FunctionCall{Name: "now", Arguments: `{"zone": "UTC"}`}}
	tool := openapi.Tool{
		Name: "now", Description: "Returns the time",
		Parameters: []byte(`{"type": "object", "properties": {"zone": {"type": "string", "description": "Time zone"}}, "required": ["zone"]}`),
	}
	for _, more := range []struct {
		name     string
		messages []openapi.Message
		tools    []openapi.Tool
	}{
		{"a system message", []openapi.Message{{Role: "system", Content: "Be brief"}, hello}, nil},
		{"several turns", []openapi.Message{hello, {Role: "assistant", Content: "Hi"}, hello}, nil},
		{"a tool call", []openapi.Message{
			hello, {Role: "assistant", ToolCalls: []openapi.ToolCall{call}}, {Role: "tool", ToolCallID: call.ID, Content: "noon"},
		}, []openapi.Tool{tool}},
	} {
		_, err := t.Prompt(more.messages, more.tools, true)
		switch {
		case errors.As(err, new(*jinja.RaisedError)):
			notes = append(notes, fmt.Sprintf("refuses %s: %v", more.name, err))
		case err != nil:
			notes = append(notes, fmt.Sprintf("fails on %s: %v", more.name, err))
		}
	}
	return prompt, notes, nil
}

// Describe returns lines with the template's size, a short prompt and the notes of Probe. Its errors are those of
// Probe.
func (t *Template) Describe() ([]string, error) {
	prompt, notes, err := t.Probe()
	if err != nil {
		return nil, err
	}
	origin := fmt.Sprintf("%d bytes", len(t.source))
	if t.source == "" {
		origin = "none, ChatML is used"
	}
	lines := []string{fmt.Sprintf("chat template: %s; the message Hello becomes %q", origin, prompt)}
	if t.thinking.known {
		lines = append(lines, "chat template: "+t.thinking.String())
	}
	for _, note := range notes {
		lines = append(lines, "chat template: "+note)
	}
	return lines, nil
}
