package server

import (
	"strings"
	"testing"

	"prunellm/infer"
	"prunellm/openapi"
)

// The model calls a tool by the name that it was trained with, and the client receives its own name for the tool.
func TestToolNamesAreMapped(t *testing.T) {
	fake := newFake()
	fake.context = 4096
	fake.template = toolsHermes
	fake.answer = func(infer.Request) string {
		return "<tool_call>\n{\"name\": \"files_read\", \"arguments\": {}}\n</tool_call>"
	}
	s := serve(t, fake)
	body := `{"messages":[{"role":"user","content":"Hi"}],"tools":[{"type":"function","function":{"name":"files.read"}}]`
	var chat openapi.ChatResponse
	s.post("/v1/chat/completions", body+"}").decode(t, &chat)
	if calls := chat.Choices[0].Message.ToolCalls; len(calls) != 1 || calls[0].Function.Name != "files.read" {
		t.Errorf("calls = %+v", calls)
	}
	if prompt := text(&fakeVariant{}, fake.last().Prompt); !strings.Contains(prompt, "tool:files_read<") || !strings.Contains(fake.last().Grammar, `\"files_read\"`) {
		t.Errorf("prompt %q, grammar\n%s", prompt, fake.last().Grammar)
	}
	_, calls, _ := joined(t, s.post("/v1/chat/completions", body+`,"stream":true}`))
	if len(calls) != 1 || calls[0].Function.Name != "files.read" {
		t.Errorf("streamed calls = %+v", calls)
	}
	var response openapi.Response
	s.post("/v1/responses", `{"input":"Hi","tools":[{"type":"function","name":"files.read"}]}`).decode(t, &response)
	if got := shape(response); got != "completed: completed files.read{}" {
		t.Errorf("response = %q", got)
	}
}

// A keyword that grammars cannot express is refused only in strict tools and formats.
func TestOnlyStrictSchemasAreRefused(t *testing.T) {
	fake := newFake()
	fake.context = 4096
	s := serve(t, fake)
	const schema = `{"type":"array","uniqueItems":true}`
	tool := func(strict string) string {
		return `"tools":[{"type":"function","function":{"name":"f","parameters":` + schema + strict + `}}]`
	}
	for fields, want := range map[string]int{
		tool(""): 200, tool(`,"strict":false`): 200, tool(`,"strict":true`): 400,
		`"response_format":{"type":"json_schema","json_schema":{"name":"s","schema":` + schema + `}}`: 400,
	} {
		if got := s.post("/v1/chat/completions", `{"messages":[{"role":"user","content":"Hi"}],`+fields+"}"); got.status != want {
			t.Errorf("%s = %d %s, want %d", fields, got.status, got.body, want)
		}
	}
	prompt := s.post("/apply-template", `{"messages":[{"role":"user","content":"Hi"}],`+tool("")+"}")
	if !strings.Contains(string(prompt.body), "uniqueItems") {
		t.Errorf("the prompt lacks the keyword: %s", prompt.body)
	}
}
