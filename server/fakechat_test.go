package server

import (
	"testing"

	"prunellm/internal/chat"
)

// Chat templates of the fake, by the way their models write tool calls. All refuse a message "refuse me".
const (
	toolsUnknown = "<s>" + fakeTurns
	toolsHermes  = "<s>{# <tool_call> arguments #}" + fakeTools + fakeTurns
	toolsLlama   = `<s>{# "parameters": dictionary of argument name #}` + fakeTools + fakeTurns

	fakeTools = "{% for tool in tools or [] %}tool:{{ tool.function.name }}<|end|>{% endfor %}"
	fakeTurns = "{% for m in messages %}{% if m.content == 'refuse me' %}{{ raise_exception('roles must alternate') }}{% endif %}" +
		"{{ m.role }}:{{ m.content }}<|end|>{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}"
)

// fakeChat parses a template of the fake.
func fakeChat(t testing.TB, source string) *chat.Template {
	t.Helper()
	template, err := chat.New(source, "<s>", "<|end|>")
	if err != nil {
		t.Fatal(err)
	}
	template.Guard([]string{"<s>", "<|end|>"})
	return template
}
