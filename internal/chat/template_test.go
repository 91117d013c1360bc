package chat

import (
	"encoding/json"
	"strings"
	"testing"

	"prunellm/openapi"
)

// Templates whose models write tool calls in different ways.
const (
	plainSource  = "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}"
	hermesSource = "{# <tool_call> #}" + withTools
	llamaSource  = `{# "parameters": dictionary of argument name #}` + withTools
	withTools    = "{% for tool in tools or [] %}{{ tool | tojson }}{% endfor %}" +
		"{% for m in messages %}[{{ m.role }}]{{ m.content }}{% for c in m.tool_calls or [] %}{{ c.function.arguments | tojson }}{% endfor %}{% endfor %}"
)

func newTemplate(t *testing.T, source string) *Template {
	t.Helper()
	template, err := New(source, "<s>", "</s>")
	if err != nil {
		t.Fatal(err)
	}
	return template
}

// TestNoHTMLEscapes checks that JSON in prompts contains <, > and & unescaped, even if the client escaped them.
func TestNoHTMLEscapes(t *testing.T) {
	tools := []openapi.Tool{{
		Name: "bold", Description: "Makes <b>bold</b> & \u2028 \\u003c",
		Parameters: json.RawMessage(`{"type":"object","properties":{"a":{"description":"<i> & \u003cu\u003E \u0026 \\u003c"}}}`),
	}}
	messages := []openapi.Message{
		{Role: "user", Content: "<p>"},
		{Role: "assistant", ToolCalls: []openapi.ToolCall{{ID: "1", Function: openapi.FunctionCall{Name: "bold", Arguments: `{"a": "\u003cq\u003e &"}`}}}},
		{Role: "tool", ToolCallID: "1", Content: `{"r": "<s>"}`},
	}
	for name, source := range map[string]string{"described": plainSource, "hermes": hermesSource, "llama": llamaSource} {
		t.Run(name, func(t *testing.T) {
			got, err := newTemplate(t, source).Prompt(messages, tools, true)
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range []string{"Makes <b>bold</b> & \u2028 \\\\u003c", `<i> & <u> & \\u003c`, `{"a": "<q> &"}`, `{"r": "<s>"}`} {
				if !strings.Contains(got, want) {
					t.Errorf("the prompt lacks %q:\n%s", want, got)
				}
			}
			if bare := strings.ReplaceAll(got, `\\u003c`, ""); strings.Contains(bare, `\u`) {
				t.Errorf("the prompt has escapes:\n%s", got)
			}
		})
	}
}
