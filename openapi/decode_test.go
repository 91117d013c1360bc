package openapi

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/go-cmp/cmp"
)

func TestDefaults(t *testing.T) {
	got, err := DecodeChat([]byte(`{"messages":[{"role":"user","content":""}],"stop":[],"tools":[],"tool_choice":"none","response_format":{ "type": "text" },
		"temperature":null,"n":null,"parallel_tool_calls":true,"store":false,"metadata":{"a":"b"},"unknown":[{}], "MODEL": 5}`), DefaultSampling)
	if err != nil {
		t.Fatal(err)
	}
	want := &ChatRequest{
		Common: Common{N: 1, Sampling: DefaultSampling, TypicalP: 1},
		Turn: Turn{
			Messages: []Message{{Role: "user"}}, ParallelToolCalls: true,
			ToolChoice: ToolChoice{Mode: ToolsNone}, Format: ResponseFormat{Type: FormatText},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("request differs (-want +got):\n%s", diff)
	}
}

func TestLastOfDuplicatesCounts(t *testing.T) {
	got, err := DecodeCompletion([]byte(`{"prompt":"a","n":99,"prompt":"b","n":2.0}`), DefaultSampling)
	if err != nil || got.Prompts[0].Text != "b" || got.N != 2 {
		t.Errorf("DecodeCompletion() = %+v, %v", got, err)
	}
}

func TestTooDeep(t *testing.T) {
	tests := map[string]bool{
		`{"a":"[[[[` + strings.Repeat("[", 100) + `\"]]"}`:            false,
		strings.Repeat("[", MaxDepth) + strings.Repeat("]", MaxDepth): false,
		strings.Repeat("[", MaxDepth+1):                               true,
		strings.Repeat("[]", 1000):                                    false,
		`"\`:                                                          false,
	}
	for body, want := range tests {
		if got := tooDeep([]byte(body)); got != want {
			t.Errorf("tooDeep(%.40q) = %v, want %v", body, got, want)
		}
	}
}

// requestSchema returns the document's schema for a request body.
func requestSchema(t testing.TB, path string) *openapi3.Schema {
	t.Helper()
	for _, document := range Documents() {
		parsed, err := openapi3.NewLoader().LoadFromData(document.YAML)
		if err != nil {
			t.Fatal(err)
		}
		if item := parsed.Paths.Find(path); item != nil {
			return item.Post.RequestBody.Value.Content.Get("application/json").Schema.Value
		}
	}
	t.Fatalf("no document describes %s", path)
	return nil
}

// fuzzDecode checks that a decoder never panics, that its errors have OpenAI's form, and that it accepts nothing that
// the document forbids.
func fuzzDecode(f *testing.F, path string, decode func([]byte) error) {
	schema := requestSchema(f, path)
	f.Fuzz(func(t *testing.T, body []byte) {
		err := decode(body)
		var refused *Error
		if errors.As(err, &refused) {
			if refused.Message == "" || refused.Type == "" || refused.Code == nil {
				t.Errorf("refused with %+v", refused)
			}
			return
		}
		if err != nil {
			t.Fatalf("refused with %T: %v", err, err)
		}
		var value any
		if err := json.Unmarshal(body, &value); err != nil {
			t.Fatalf("accepted invalid JSON: %v", err)
		}
		if err := schema.VisitJSON(value, openapi3.EnableJSONSchema2020()); err != nil {
			t.Errorf("accepted a body that the document forbids: %v", err)
		}
	})
}

func FuzzDecodeChat(f *testing.F) {
	for _, seed := range []string{
		`{"messages":[{"role":"user","content":"Hi"}]}`,
		`{"model":"a@0.2","messages":[{"role":"developer","content":[{"type":"text","text":"Hi"}],"name":"x"}],"stream":true,"stream_options":{"include_usage":true}}`,
		`{"messages":[{"role":"user","content":"é"}],"n":2,"stop":["a","b"],"logit_bias":{"1":-100},"seed":-5,"top_k":-1,"logprobs":true,"top_logprobs":20}`,
		`{"messages":[{"role":"user","content":"a"}],"max_tokens":1,"max_completion_tokens":1,"temperature":0,"top_p":0.5,"min_p":0,"typical_p":1,"repetition_penalty":1}`,
		`{"messages":[],"tools":[{}],"response_format":{"type":"json_object"},"audio":{}}`,
		`{"messages":[{"role":"user","content":"a"},{"role":"assistant","tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"c","content":"4"}],"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object"},"strict":true}}],"tool_choice":{"type":"function","function":{"name":"f"}},"parallel_tool_calls":false}`,
		`{"messages":[{"role":"user","content":"a"}],"response_format":{"type":"json_schema","json_schema":{"name":"s","schema":{}}}}`, `{"messages":[{"role":"user","content":"a"}],"grammar":"root ::= \"a\""}`,
		`{"messages":[{"role":"user","content":null}]}`, `{"a":[[[[[[[[]]]]]]]]}`, `[]`, `{`, ``, `"`, "\xff",
	} {
		f.Add([]byte(seed))
	}
	fuzzDecode(f, "/v1/chat/completions", func(body []byte) error {
		_, err := DecodeChat(body, DefaultSampling)
		return err
	})
}

func FuzzDecodeCompletion(f *testing.F) {
	for _, seed := range []string{
		`{"prompt":"a","echo":true,"best_of":1}`, `{"prompt":[1,2],"echo":true,"logprobs":1,"max_tokens":0}`, `{"prompt":"a","max_tokens":0}`, `{"prompt":["a","b"],"n":3,"logprobs":5}`, `{"prompt":[1,2,3],"suffix":""}`, `{"prompt":"a","suffix":"b"}`, `{"prompt":"a","n_predict":5,"n_probs":3,"repeat_last_n":0,"mirostat":0.0,"samplers":"","top_n_sigma":-1}`,
		`{"prompt":[[1],[2]],"stop":"x","max_tokens":5}`, `{"prompt":[1,"a"]}`, `{"prompt":[ ]}`, `{"prompt":[1.0]}`, `{"prompt":[1,null]}`, `{"prompt":{}}`,
	} {
		f.Add([]byte(seed))
	}
	fuzzDecode(f, "/v1/completions", func(body []byte) error {
		_, err := DecodeCompletion(body, DefaultSampling)
		return err
	})
}

func FuzzDecodeInfill(f *testing.F) {
	for _, seed := range []string{
		`{"input_prefix":"a","input_suffix":"b","prompt":"c","input_extra":[{"text":"d","filename":"e"},{"text":"f"}],"n_predict":0,"samplers":["top_k","top_p","infill"],"n_indent":4,"t_max_predict_ms":-1,"response_fields":["content","timings/prompt_n"]}`,
		`{"input_prefix":"a","input_suffix":"","temperature":1,"min_p":0,"samplers":["typical_p","dry","xtc","top_n_sigma","temperature"],"n_probs":3,"stream":true}`,
		`{"input_prefix":"","input_suffix":"","samplers":[],"n_predict":-1,"n":1.0,"repeat_penalty":1.1}`, `{"input_prefix":"a"}`, `{"input_prefix":"a","input_suffix":"b","samplers":["top_p","top_k"]}`,
	} {
		f.Add([]byte(seed))
	}
	fuzzDecode(f, "/infill", func(body []byte) error {
		_, err := DecodeInfill(body, DefaultSampling)
		return err
	})
}

func FuzzDecodeResponse(f *testing.F) {
	for _, seed := range []string{
		`{"input":"Hi","instructions":"Be brief","stream":true,"text":{"format":{"type":"json_schema","name":"a","schema":{"type":"object"},"strict":true}}}`,
		`{"input":[{"role":"user","content":[{"type":"input_text","text":"Hi"}]},{"type":"function_call","call_id":"call_1","name":"f","arguments":"{}"},{"type":"function_call_output","call_id":"call_1","output":"4"}]}`,
		`{"input":"a","tools":[{"type":"function","name":"f","parameters":{"type":"object"}}],"tool_choice":{"type":"function","name":"f"},"metadata":{"a":"b"},"user":"u"}`,
		`{"input":[],"store":true}`, `{"input":[{"type":"reasoning","content":null},{"content":"a","role":"user"}],"tools":[{"type":"web_search"},{"TYPE":"x"}]}`, `{"input":"a","tools":[{"type":"mcp","name":3}]}`,
	} {
		f.Add([]byte(seed))
	}
	fuzzDecode(f, "/v1/responses", func(body []byte) error {
		_, err := DecodeResponse(body, DefaultSampling, nil)
		return err
	})
}

func FuzzDecodeMessages(f *testing.F) {
	for _, seed := range []string{
		`{"max_tokens":5,"messages":[{"role":"user","content":"Hi"}],"system":"Be brief","stream":true,"thinking":{"type":"enabled","budget_tokens":1024},"stop_sequences":["a"],"top_k":5}`,
		`{"max_tokens":5,"system":[{"type":"text","text":"x-anthropic-billing-header: a\nB","cache_control":{}}],"messages":[{"role":"user","content":[{"type":"text","text":"a"}]},{"role":"assistant","content":[{"type":"thinking","thinking":"t","signature":"s"},{"type":"text","text":"b"},{"type":"tool_use","id":"toolu_1","name":"f","input":{"a":[1,"é,:"]}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"toolu_1","is_error":true,"content":[{"type":"text","text":"c"},{"type":"tool_reference","tool_name":"g"}]},{"type":"text","text":"d"}]},{"role":"system","content":"e"}]}`,
		`{"max_tokens":5,"messages":[{"role":"user","content":"a"}],"tools":[{"name":"f","input_schema":{"type":"object"},"strict":true},{"type":"custom","name":"g.h","input_schema":{}},{"type":"web_search_20250305","name":"web_search"}],"tool_choice":{"type":"tool","name":"f","disable_parallel_tool_use":true}}`,
		`{"max_tokens":5,"messages":[{"role":"user","content":[{"type":"document","title":"t","source":{"type":"text","media_type":"text/plain","data":"d"}}]}],"output_config":{"format":{"type":"json_schema","schema":{"type":"object"}},"effort":"high"},"metadata":{"user_id":"u"},"context_management":{"edits":[]}}`,
		`{"max_tokens":5,"messages":[{"role":"user","content":[{"type":"image","source":{}}]}]}`, `{"max_tokens":0,"messages":[]}`, `{"max_tokens":5,"messages":[{"role":"user","content":[{"type":"tool_result"}]},{"role":"assistant","content":[]}]}`,
	} {
		f.Add([]byte(seed))
	}
	fuzzDecode(f, "/v1/messages", func(body []byte) error {
		_, err := DecodeMessages(body, DefaultSampling)
		return err
	})
}

func FuzzDecodeCountTokens(f *testing.F) {
	f.Add([]byte(`{"messages":[{"role":"user","content":"Hi"}]}`))
	fuzzDecode(f, "/v1/messages/count_tokens", func(body []byte) error {
		_, err := DecodeCountTokens(body)
		return err
	})
}

func FuzzDecodeEmbedding(f *testing.F) {
	for _, seed := range []string{
		`{"input":"a","encoding_format":"base64"}`, `{"input":["a","b"],"user":"u"}`, `{"input":[[1],[2,3]]}`, `{"input":[],"dimensions":3}`,
	} {
		f.Add([]byte(seed))
	}
	fuzzDecode(f, "/v1/embeddings", func(body []byte) error {
		_, err := DecodeEmbedding(body)
		return err
	})
}

func FuzzDecodeText(f *testing.F) {
	for _, seed := range []string{`{"content":"a","add_special":true}`, `{"tokens":[1,2]}`, `{"messages":[{"role":"user","content":"a"}],"add_generation_prompt":false}`} {
		f.Add([]byte(seed))
	}
	decoders := map[string]func([]byte) error{
		"/tokenize":       func(b []byte) error { _, err := DecodeTokenize(b); return err },
		"/detokenize":     func(b []byte) error { _, err := DecodeDetokenize(b); return err },
		"/apply-template": func(b []byte) error { _, err := DecodeApplyTemplate(b); return err },
	}
	schemas := map[string]*openapi3.Schema{}
	for path := range decoders {
		schemas[path] = requestSchema(f, path)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for path, decode := range decoders {
			if decode(body) != nil {
				continue
			}
			var value any
			if err := json.Unmarshal(body, &value); err != nil {
				t.Fatalf("%s accepted invalid JSON: %v", path, err)
			}
			if err := schemas[path].VisitJSON(value, openapi3.EnableJSONSchema2020()); err != nil {
				t.Errorf("%s accepted a body that the document forbids: %v", path, err)
			}
		}
	})
}

func BenchmarkDecodeChat(b *testing.B) {
	body := []byte(`{"model":"tiny","messages":[{"role":"user","content":"` + strings.Repeat("word ", 200) + `"}],"max_tokens":64,"stream":true,"temperature":1.0,"seed":7,"stream_options":{"include_usage":true},"ignore_eos":true,"logit_bias":{"2":-100,"0":-100}}`)
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		if _, err := DecodeChat(body, DefaultSampling); err != nil {
			b.Fatal(err)
		}
	}
}

// TestItemReference covers clients that rely on stored responses by default. The error tells them how to stop that.
func TestItemReference(t *testing.T) {
	_, err := DecodeResponse([]byte(`{"input":[{"role":"user","content":"a"},{"type":"item_reference","id":"msg_1"}]}`), DefaultSampling, nil)
	var refused *Error
	if !errors.As(err, &refused) || *refused.Param != "input[1].type" || !strings.Contains(refused.Message, "store false") {
		t.Errorf("DecodeResponse() = %v, want a refusal of input[1].type that names store", err)
	}
}
