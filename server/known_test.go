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
		{chat, "prediction", `{"type":"content","content":[{"type":"text","text":"a"}]}`, `{"type":"content","content":[{"type":"image_url"}]}`},
		{chat, "prediction", `null`, `{"type":"text","content":"a"}`},
		{chat, "prediction", `{"type":"content","content":""}`, `{"type":"content"}`},
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
		{completion, "suffix", `""`, `3`},
		{chat, "repeat_penalty", `1.1`, `0`},
		{chat, "repeat_last_n", `-1`, `-2`},
		{chat, "n_predict", `-1`, `-2`},
		{chat, "n_probs", `0`, `21`},
		{completion, "n_probs", `20`, `-1`},
		{completion, "dynatemp_range", `0.0`, `0.5`},
		{completion, "top_n_sigma", `-1`, `1.5`},
		{completion, "xtc_probability", `0`, `0.1`},
		{completion, "dry_multiplier", `0`, `0.8`},
		{completion, "tfs_z", `1.0`, `0.9`},
		{completion, "mirostat", `0`, `2`},
		{completion, "min_keep", `1`, `2`},
		{completion, "samplers", `[]`, `["top_k"]`},
		{completion, "samplers", `""`, `"kpt"`},
		{completion, "n_indent", `0`, `4`},
		{completion, "t_max_predict_ms", `0`, `100`},
		{completion, "post_sampling_probs", `false`, `true`},
		{completion, "image_data", `[]`, `[{"data":"a","id":1}]`},
		{completion, "lora", `[]`, `[{"id":0,"scale":1}]`},
		{completion, "grammar_lazy", `false`, `true`},
		{completion, "grammar_triggers", `[]`, `[{"type":"word"}]`},
		{chat, "min_tokens", `0`, `5`},
		{chat, "stop_token_ids", `[]`, `[2]`},
		{chat, "include_stop_str_in_output", `false`, `true`},
		{chat, "skip_special_tokens", `true`, `false`},
		{chat, "allowed_token_ids", `null`, `[1]`},
		{chat, "bad_words", `[]`, `["a"]`},
		{chat, "logits_processors", `[]`, `["a"]`},
		{chat, "truncate_prompt_tokens", `null`, `5`},
		{chat, "prompt_logprobs", `null`, `0`},
		{chat, "use_beam_search", `false`, `true`},
		{chat, "chat_template", `""`, `"{{ messages }}"`},
		{chat, "documents", `[]`, `[{"text":"a"}]`},
		{chat, "mm_processor_kwargs", `{}`, `{"a":1}`},
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
