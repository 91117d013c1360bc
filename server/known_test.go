package server

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"prunellm/openapi"
)

// TestKnownFields checks fields of OpenAI's API that the server does not support. It accepts hints and values without
// effect, which the contract allows. Any other value violates the contract, and the server refuses the field by name.
func TestKnownFields(t *testing.T) {
	const chat, completion, response, embedding = "/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/embeddings"
	tests := []struct{ path, field, taken, refused string }{
		{chat, "modalities", `["text"]`, `["text","audio"]`},
		{chat, "audio", `null`, `{"voice":"a","format":"wav"}`},
		{chat, "prediction", `null`, `{"type":"content","content":"a"}`},
		{chat, "web_search_options", `null`, `{}`},
		{chat, "reasoning_effort", `"low"`, `3`},
		{chat, "verbosity", `"low"`, `{}`},
		{chat, "service_tier", `"flex"`, `1`},
		{chat, "store", `true`, `"yes"`},
		{chat, "max_tokens", `-1`, `-2`},
		{chat, "max_completion_tokens", `-1`, `-2`},
		{completion, "max_tokens", `-1`, `-2`},
		{completion, "stop", `""`, `[""]`},
		{response, "max_output_tokens", `-1`, `-2`},
		{chat, "functions", `[]`, `[{"name":"f"}]`},
		{chat, "function_call", `"none"`, `{"name":"f"}`},
		{completion, "suffix", `""`, `"a"`},
		{embedding, "encoding_format", `"float"`, `"int8"`},
		{response, "previous_response_id", `null`, `3`},
		{response, "conversation", `null`, `"conv_1"`},
		{response, "prompt", `null`, `{"id":"p"}`},
		{response, "background", `false`, `true`},
		{response, "store", `true`, `"yes"`},
		{response, "text", `{"verbosity":"low"}`, `{"verbosity":3}`},
		{response, "reasoning", `{"effort":"high","summary":"auto"}`, `{"effort":3}`},
		{response, "include", `["reasoning.encrypted_content"]`, `["file_search_call.results"]`},
		{response, "truncation", `"auto"`, `"middle"`},
		{response, "top_logprobs", `0`, `3`},
		{response, "max_tool_calls", `null`, `1`},
		{response, "service_tier", `"priority"`, `1`},
	}
	bodies := map[string]string{chat: hi, completion: `"prompt":"a"`, response: `"input":"a"`, embedding: `"input":"a"`}
	s := serve(t, newFake())
	for _, test := range tests {
		schema := operation("POST", test.path).RequestBody.Value.Content.Get("application/json").Schema.Value
		body := func(value string) string { return `{` + bodies[test.path] + `,"` + test.field + `":` + value + `}` }
		// post checks accepted requests against the contract.
		if got := s.post(test.path, body(test.taken)); got.status != 200 {
			t.Errorf("POST %s %s = %d %s", test.path, body(test.taken), got.status, got.body)
		}
		got := s.post(test.path, body(test.refused))
		var refusal openapi.ErrorBody
		got.decode(t, &refusal)
		if got.status != 400 || refusal.Error.Param == nil || !strings.HasPrefix(*refusal.Error.Param, test.field) {
			t.Errorf("POST %s %s = %d %s, want it refused", test.path, body(test.refused), got.status, got.body)
		}
		var value any
		if err := json.Unmarshal([]byte(body(test.refused)), &value); err != nil {
			t.Fatal(err)
		}
		if schema.VisitJSON(value, openapi3.EnableJSONSchema2020()) == nil {
			t.Errorf("POST %s %s fits the contract and is refused", test.path, body(test.refused))
		}
	}
}
