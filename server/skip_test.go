package server

import (
	"testing"

	"prunellm/openapi"
)

const skippedTools = `"tools":[{"type":"web_search"},{"type":"namespace","name":"n","tools":[]},{"type":"custom","name":"patch"},{"type":"web_search"},{"type":"function","name":"time"}]`

// The server leaves out tools that it does not offer and items without content for the model, and names them in
// headers.
func TestResponsesSkipTools(t *testing.T) {
	fake := newFake()
	fake.context = 4096
	fake.template = toolsHermes
	s := serve(t, fake)
	body := `{"input":[{"role":"user","content":"Hi"},{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"x"},{"type":"web_search_call","id":"ws_1","status":"completed"},
		{"type":"item_reference","id":"rs_2"}],` + skippedTools
	for _, stream := range []string{"", `,"stream":true`} {
		got := s.post("/v1/responses", body+stream+"}")
		if got.status != 200 || got.header.Get("x-prunellm-skipped-tools") != "web_search,namespace,custom" ||
			got.header.Get("x-prunellm-skipped-items") != "reasoning,web_search_call,item_reference" {
			t.Errorf("response = %d %v %s", got.status, got.header, got.body)
		}
		if prompt, want := text(&fakeVariant{}, fake.last().Prompt), "<s>tool:time<|end|>user:Hi<|end|>assistant:"; prompt != want {
			t.Errorf("prompt = %q, want %q", prompt, want)
		}
	}
	if got := s.post("/v1/responses", `{"input":"Hi"}`); got.header.Get("x-prunellm-skipped-tools") != "" || got.header.Get("x-prunellm-skipped-items") != "" {
		t.Errorf("headers although nothing was left out: %v", got.header)
	}
}

func TestInputTokens(t *testing.T) {
	fake := newFake()
	fake.context = 4096
	s := serve(t, fake)
	for _, body := range []string{`{"input":"Hi"`, `{"input":"Hi","instructions":"Be nice",` + weatherFlat, `{"input":"Hi",` + skippedTools} {
		var got openapi.InputTokens
		s.post("/v1/responses/input_tokens", body+"}").decode(t, &got)
		s.post("/v1/responses", body+"}")
		if want := len(fake.last().Prompt); got.Tokens != want || got.Object != "response.input_tokens" {
			t.Errorf("%s has %+v, want %d tokens", body, got, want)
		}
	}
	if got := s.post("/v1/responses/input_tokens", `{"input":[{"role":"user","content":"refuse me"}]}`); got.status != 400 {
		t.Errorf("a refused conversation = %d %s", got.status, got.body)
	}
}
