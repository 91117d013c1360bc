package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"prunellm/infer"
	"prunellm/openapi"
)

func TestModels(t *testing.T) {
	s := serve(t, newFake())
	var list openapi.ModelList
	s.do("GET", "/v1/models", "").decode(t, &list)
	if list.Object != "list" || len(list.Data) != 2 || list.Data[0].ID != "tiny@0.2" {
		t.Errorf("models %+v", list)
	}
	for path, want := range map[string]string{"tiny": "tiny@0.2", "tiny@0.2": "tiny@0.2", "tiny%400.20": "tiny@0.2", "tiny@0": "tiny@0", "default": "tiny@0.2", "default@0": "tiny@0", "default@0.4": "", "tiny@0.4": "", "other/model": "", "tiny@1": ""} {
		got := s.do("GET", "/v1/models/"+path, "")
		var model openapi.Model
		got.decode(t, &model)
		if model.ID != want {
			t.Errorf("GET /v1/models/%s = %d %s, want %q", path, got.status, got.body, want)
		}
	}
}

func TestTokenizeAndBack(t *testing.T) {
	s := serve(t, newFake())
	tests := []struct{ path, body, want string }{
		{"/tokenize", `{"content":"é<|end|>"}`, `{"tokens":[195,169,256]}`},
		{"/tokenize", `{"content":"","add_special":true}`, `{"tokens":[257]}`},
		{"/tokenize", `{"content":""}`, `{"tokens":[]}`},
		{"/detokenize", `{"tokens":[195,169,256]}`, `{"content":"é<|end|>","prompt":"é<|end|>"}`},
		{"/tokenize", `{"prompt":"a","add_special_tokens":true}`, `{"tokens":[257,97]}`},
		{"/detokenize", `{"tokens":[195]}`, `{"content":"` + "\uFFFD" + `","prompt":"` + "\uFFFD" + `"}`},
		{"/detokenize", `{"tokens":[]}`, `{"content":"","prompt":""}`},
		{"/apply-template", `{"messages":[{"role":"user","content":"a & b"}]}`, `{"prompt":"<s>user:a & b<|end|>assistant:"}`},
		{"/apply-template", `{"messages":[{"role":"user","content":"a"}],"add_generation_prompt":false,"model":"tiny@0"}`, `{"prompt":"<s>user:a<|end|>"}`},
	}
	for _, test := range tests {
		if got := s.post(test.path, test.body); got.status != 200 || string(got.body) != test.want {
			t.Errorf("POST %s %s = %d %s, want %s", test.path, test.body, got.status, got.body, test.want)
		}
	}
}

func TestTokenizerInfo(t *testing.T) {
	got := serve(t, newFake()).do("GET", "/tokenizer_info", "")
	if want := `{"bos_token":"<s>","eos_token":"<|end|>","pad_token":null}`; got.status != 200 || string(got.body) != want {
		t.Errorf("GET /tokenizer_info = %d %s, want %s", got.status, got.body, want)
	}
}

// TestRefusals covers requests that the client must change. They get a 4xx in OpenAI's form that names the field.
func TestRefusals(t *testing.T) {
	chat, completion, responses, embeddings := "/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/embeddings"
	const toolF = `{"type":"function","function":{"name":"f"}}`
	tests := []struct {
		path, body string
		status     int
		param      string
	}{
		{chat, ``, 400, ""},
		{chat, `null`, 400, ""},
		{chat, `[]`, 400, ""},
		{chat, `{` + hi + `} x`, 400, ""},
		{chat, `{` + hi + `}{}`, 400, ""},
		{chat, "{\"messages\":[{\"role\":\"user\",\"content\":\"\xff\"}]}", 400, ""},
		{chat, `{"a":` + strings.Repeat("[", 65) + strings.Repeat("]", 65) + `}`, 400, ""},
		{chat, strings.Repeat("[", 1<<20), 400, ""},
		{chat, `{}`, 400, "messages"},
		{chat, `{"messages":[]}`, 400, "messages"},
		{chat, `{"messages":"hi"}`, 400, "messages"},
		{chat, `{"messages":[5]}`, 400, "messages[0]"},
		{chat, `{"messages":[{"content":"a"}]}`, 400, "messages[0].role"},
		{chat, `{"messages":[{"role":"robot","content":"a"}]}`, 400, "messages[0].role"},
		{chat, `{"messages":[{"role":"function","content":"a"}]}`, 400, "messages[0].role"},
		{chat, `{"messages":[{"role":"user"}]}`, 400, "messages[0].content"},
		{chat, `{"messages":[{"role":"user","content":5}]}`, 400, "messages[0].content"},
		{chat, `{"messages":[{"role":"user","content":"a\u0000b"}]}`, 400, "messages[0].content"},
		{chat, `{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"x"}}]}]}`, 400, "messages[0].content[0].type"},
		{chat, `{"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"input_audio"}]}]}`, 400, "messages[0].content[1].type"},
		{chat, `{"messages":[{"role":"user","content":"refuse me"}]}`, 400, "messages"},
		{chat, `{"messages":[{"role":"user","content":"` + strings.Repeat("long ", 100) + `"}]}`, 400, "messages"},
		{chat, `{"messages":[{"role":"user","content":"` + strings.Repeat("long ", 20000) + `"}]}`, 400, "messages"},
		{chat, `{` + hi + `,"model":5}`, 400, "model"},
		{chat, `{` + hi + `,"model":""}`, 400, "model"},
		{chat, `{` + hi + `,"model":"other"}`, 404, "model"},
		{chat, `{` + hi + `,"model":"tiny@0.9"}`, 400, "model"},
		{chat, `{` + hi + `,"temperature":"1"}`, 400, "temperature"},
		{chat, `{` + hi + `,"temperature":2.1}`, 400, "temperature"},
		{chat, `{` + hi + `,"temperature":1e999}`, 400, "temperature"},
		{chat, `{` + hi + `,"top_p":-0.1}`, 400, "top_p"},
		{chat, `{` + hi + `,"top_k":1.5}`, 400, "top_k"},
		{chat, `{` + hi + `,"n":0}`, 400, "n"},
		{chat, `{` + hi + `,"n":17}`, 400, "n"},
		{chat, `{` + hi + `,"max_tokens":0}`, 400, "max_tokens"},
		{chat, `{` + hi + `,"max_tokens":-5}`, 400, "max_tokens"},
		{chat, `{` + hi + `,"max_completion_tokens":0}`, 400, "max_completion_tokens"},
		{chat, `{` + hi + `,"max_tokens":1,"max_completion_tokens":2}`, 400, "max_tokens"},
		{chat, `{` + hi + `,"stream":"yes"}`, 400, "stream"},
		{chat, `{` + hi + `,"stream_options":{"include_usage":true}}`, 400, "stream_options"},
		{chat, `{` + hi + `,"stream":true,"stream_options":{"include_obfuscation":true}}`, 400, "stream_options.include_obfuscation"},
		{chat, `{` + hi + `,"logprobs":1}`, 400, "logprobs"},
		{chat, `{` + hi + `,"top_logprobs":1}`, 400, "top_logprobs"},
		{chat, `{` + hi + `,"logprobs":true,"top_logprobs":21}`, 400, "top_logprobs"},
		{chat, `{` + hi + `,"logit_bias":{"258":1}}`, 400, "logit_bias"},
		{chat, `{` + hi + `,"logit_bias":{"-1":1}}`, 400, "logit_bias"},
		{chat, `{` + hi + `,"logit_bias":{"a":1}}`, 400, "logit_bias"},
		{chat, `{` + hi + `,"logit_bias":{"1":100.5}}`, 400, "logit_bias"},
		{chat, `{` + hi + `,"logit_bias":{"1":"x"}}`, 400, "logit_bias"},
		{chat, `{` + hi + `,"stop":[""]}`, 400, "stop"},
		{chat, `{` + hi + `,"stop":["a",5]}`, 400, "stop[1]"},
		{chat, `{` + hi + `,"stop":"` + strings.Repeat("x", 257) + `"}`, 400, "stop"},
		{chat, `{` + hi + `,"stop":["a"` + strings.Repeat(`,"a"`, 5000) + `]}`, 400, "stop"},
		{chat, `{` + hi + `,"seed":1e30}`, 400, "seed"},
		{chat, `{` + hi + `,"tools":{}}`, 400, "tools"},
		{chat, `{` + hi + `,"tools":[{"type":"function"}]}`, 400, "tools[0].function"},
		{chat, `{` + hi + `,"tools":[{"type":"web_search"}]}`, 400, "tools[0].type"},
		{chat, `{` + hi + `,"tools":[{"type":"function","function":{"name":""}}]}`, 400, "tools[0].function.name"},
		{chat, `{` + hi + `,"tools":[{"type":"function","function":{"name":"f","parameters":"x"}}]}`, 400, "tools[0].function.parameters"},
		{chat, `{` + hi + `,"tools":[` + toolF + `,` + toolF + `]}`, 400, "tools[1]"},
		{chat, `{` + hi + `,"tools":[{"type":"function","function":{"name":"f","parameters":{"hopeless":1}}}]}`, 400, "tools[0]"},
		{chat, `{` + hi + `,"tool_choice":"required"}`, 400, "tool_choice"},
		{chat, `{` + hi + `,"tools":[` + toolF + `],"tool_choice":"always"}`, 400, "tool_choice"},
		{chat, `{` + hi + `,"tools":[` + toolF + `],"tool_choice":{"type":"function","function":{"name":"g"}}}`, 400, "tool_choice"},
		{chat, `{` + hi + `,"tools":[` + toolF + `],"tool_choice":{"type":"allowed_tools"}}`, 400, "tool_choice.type"},
		{chat, `{` + hi + `,"tools":[` + toolF + `],"grammar":"root ::= \"a\""}`, 400, "grammar"},
		{chat, `{"messages":[{"role":"tool","content":"4"}]}`, 400, "messages[0].tool_call_id"},
		{chat, `{"messages":[{"role":"user","content":"4","tool_calls":[{}]}]}`, 400, "messages[0].tool_calls"},
		{chat, `{"messages":[{"role":"assistant","tool_calls":[{"id":"c","function":{"name":"f"}}]}]}`, 400, "messages[0].tool_calls[0].function.arguments"},
		{chat, `{` + hi + `,"functions":[{}]}`, 400, "functions"},
		{chat, `{` + hi + `,"response_format":{"type":"xml"}}`, 400, "response_format.type"},
		{chat, `{` + hi + `,"response_format":{"type":"json_schema"}}`, 400, "response_format.json_schema"},
		{chat, `{` + hi + `,"response_format":{"type":"json_schema","json_schema":{"name":"s"}}}`, 400, "response_format.json_schema.schema"},
		{chat, `{` + hi + `,"response_format":{"type":"json_schema","json_schema":{"name":"s","schema":{"hopeless":1}}}}`, 400, "response_format"},
		{chat, `{` + hi + `,"audio":{}}`, 400, "audio"},
		{chat, `{` + hi + `,"grammar":"nonsense"}`, 400, "grammar"},
		{completion, `{"prompt":"a","grammar":"nonsense"}`, 400, "grammar"},
		{chat, `{` + hi + `,"grammar":""}`, 400, "grammar"},
		{responses, `{}`, 400, "input"},
		{responses, `{"input":[]}`, 400, "input"},
		{responses, `{"input":[{"role":"user","content":[{"type":"input_image","image_url":"x"}]}]}`, 400, "input[0].content[0].type"},
		{responses, `{"input":[{"type":"item_reference","id":"x"}]}`, 400, "input[0].type"},
		{responses, `{"input":"a","previous_response_id":"resp_1"}`, 400, "previous_response_id"},
		{responses, `{"input":"a","store":"yes"}`, 400, "store"},
		{responses, `{"input":"a","reasoning":{"effort":1}}`, 400, "reasoning.effort"},
		{responses, `{"input":"a","reasoning":{"summary":{}}}`, 400, "reasoning.summary"},
		{responses, `{"input":"a","reasoning":"low"}`, 400, "reasoning"},
		{responses, `{"input":"a","tools":[{"type":"web search"}]}`, 400, "tools[0].type"},
		{responses, `{"input":"a","tools":[{"type":"web_search"}],"tool_choice":{"type":"web_search"}}`, 400, "tool_choice.type"},
		{responses, `{"input":"a","tools":[{"type":"web_search"}],"tool_choice":"required"}`, 400, "tool_choice"},
		{responses, `{"input":[{"type":"reasoning"}]}`, 400, "input"},
		{responses, `{"input":"a","text":{"format":{"type":"json_schema","name":"s","schema":{"hopeless":1}}}}`, 400, "text.format"},
		{responses, `{"input":"` + strings.Repeat("x", 300) + `"}`, 400, "input"},
		{embeddings, `{}`, 400, "input"},
		{embeddings, `{"input":[]}`, 400, "input"},
		{embeddings, `{"input":"a","dimensions":5}`, 400, "dimensions"},
		{embeddings, `{"input":"a","encoding_format":"int8"}`, 400, "encoding_format"},
		{embeddings, `{"input":[[1],[258]]}`, 400, "input[1]"},
		{embeddings, `{"input":"` + strings.Repeat("x", 300) + `"}`, 400, "input"},
		{completion, `{}`, 400, "prompt"},
		{completion, `{"prompt":5}`, 400, "prompt"},
		{completion, `{"prompt":[]}`, 400, "prompt"},
		{completion, `{"prompt":[[]]}`, 400, "prompt[0]"},
		{completion, `{"prompt":[1,"a"]}`, 400, "prompt"},
		{completion, `{"prompt":[1,null]}`, 400, "prompt"},
		{completion, `{"prompt":["a",null]}`, 400, "prompt[1]"},
		{completion, `{"prompt":[258]}`, 400, "prompt"},
		{completion, `{"prompt":[-1]}`, 400, "prompt"},
		{completion, `{"prompt":[99999999999]}`, 400, "prompt"},
		{completion, `{"prompt":["a","` + strings.Repeat("x", 300) + `"]}`, 400, "prompt[1]"},
		{completion, `{"prompt":"a","suffix":"b"}`, 400, "suffix"},
		{completion, `{"prompt":"a","best_of":2}`, 400, "best_of"},
		{completion, `{"prompt":"a","logprobs":6}`, 400, "logprobs"},
		{completion, `{"prompt":"a","max_tokens":0}`, 400, "max_tokens"},
		{completion, `{"prompt":["a"` + strings.Repeat(`,"a"`, 15) + `],"n":16}`, 400, "n"},
		{"/tokenize", `{}`, 400, "content"},
		{"/tokenize", `{"content":5}`, 400, "content"},
		{"/detokenize", `{"tokens":"a"}`, 400, "tokens"},
		{"/detokenize", `{"tokens":[1.5]}`, 400, "tokens"},
		{"/detokenize", `{"tokens":[258]}`, 400, "tokens"},
		{"/apply-template", `{"messages":[{"role":"user","content":"refuse me"}]}`, 400, "messages"},
	}
	for _, ratio := range []string{"", "NaN", "-1", "1", "0.9999", "1e309", "0x1p-2", "0.2 ", "+0.2", ".2", "0.", "00.2", "1e-1", "Inf", "0.1234567891", "0,2", "0.2@"} {
		tests = append(tests, struct {
			path, body string
			status     int
			param      string
		}{chat, `{` + hi + `,"model":"tiny@` + ratio + `"}`, 400, "model"})
	}
	fake := newFake()
	fake.template = toolsHermes
	s := serve(t, fake)
	for _, test := range tests {
		got := s.post(test.path, test.body)
		var body openapi.ErrorBody
		got.decode(t, &body)
		param := ""
		if body.Error.Param != nil {
			param = *body.Error.Param
		}
		if got.status != test.status || param != test.param || body.Error.Code == nil {
			t.Errorf("POST %s %.200s\n= %d %s\nwant %d and param %q", test.path, test.body, got.status, got.body, test.status, test.param)
		}
	}
	if n := len(fake.requests); n != 0 {
		t.Errorf("%d requests reached the engine", n)
	}
	if a, r := fake.acquired.Load(), fake.released.Load(); a != r {
		t.Errorf("%d acquired and %d released", a, r)
	}
}

func TestErrorTable(t *testing.T) {
	tests := []struct {
		err    error
		status int
		code   string
		retry  string
	}{
		{&NotReadyError{Progress: "scoring: 40%", RetryAfter: 1500 * time.Millisecond}, 503, openapi.CodeNotReady, "2"},
		{fmt.Errorf("acquire: %w", &NotReadyError{}), 503, openapi.CodeNotReady, "5"},
		{fmt.Errorf("x: %w", ErrModelNotFound), 404, openapi.CodeModelNotFound, ""},
		{&infer.ContextError{Prompt: 9, Context: 8}, 400, openapi.CodeContextLength, ""},
		{&infer.ParameterError{Field: "top_k", Reason: "too large"}, 400, openapi.CodeInvalidValue, ""},
		{infer.ErrQueueFull, 429, openapi.CodeQueueFull, "1"},
		{infer.ErrEngine, 503, openapi.CodeUnavailable, "1"},
		{errors.New("what is this"), 500, openapi.CodeInternal, ""},
	}
	for _, test := range tests {
		fake := newFake()
		fake.acquire = func(context.Context, openapi.ModelName) error { return test.err }
		s := serve(t, fake)
		got := s.post("/v1/chat/completions", `{`+hi+`}`)
		var body openapi.ErrorBody
		got.decode(t, &body)
		if got.status != test.status || *body.Error.Code != test.code || got.header.Get("Retry-After") != test.retry {
			t.Errorf("%v became %d %s with Retry-After %q", test.err, got.status, got.body, got.header.Get("Retry-After"))
		}
	}
}

func TestOpenAIShapeEverywhere(t *testing.T) {
	s := serve(t, newFake(), func(o *Options) { o.MaxBodyBytes = 64 << 10 })
	big := `{` + hi + `,"pad":"` + strings.Repeat("x", 4<<20) + `"}`
	tests := []struct {
		method, path, body string
		headers            []string
		status             int
	}{
		{"GET", "/nothing", "", nil, 404},
		{"GET", "/v1/<b>", "", nil, 404},
		{"GET", "/v1/chat/completions", "", nil, 405},
		{"DELETE", "/v1/models", "", nil, 405},
		{"BREW", "/v1/models", "", nil, 405},
		{"OPTIONS", "/v1/chat/completions", "", []string{"Origin", "https://evil.example", "Access-Control-Request-Method", "POST"}, 405},
		{"POST", "/v1/chat/completions", big, nil, 413},
		{"POST", "/v1/chat/completions", `{` + hi + `}`, []string{"Content-Type", "text/plain"}, 415},
		{"POST", "/v1/chat/completions", `{` + hi + `}`, []string{"Content-Type", ""}, 415},
		{"POST", "/v1/chat/completions", `a=b`, []string{"Content-Type", "application/x-www-form-urlencoded"}, 415},
		{"POST", "/v1/chat/completions", "--x\r\n\r\n--x--", []string{"Content-Type", "multipart/form-data; boundary=x"}, 415},
		{"POST", "/v1/chat/completions", `{` + hi + `}`, []string{"Content-Type", "application/json; charset=latin1"}, 415},
		{"POST", "/v1/chat/completions", "\x1f\x8b", []string{"Content-Encoding", "gzip"}, 415},
		{"GET", "/healthz", "", []string{"Host", "evil.example"}, 403},
		{"GET", "/healthz", "", []string{"Host", "127.0.0.1.evil.example"}, 403},
		{"GET", "/healthz", "", []string{"Host", "10.1.2.3"}, 200}, // an address cannot be rebound; a published port may have any
		{"GET", "/v1/models", "", []string{"X-Pad", strings.Repeat("x", 60<<10)}, 431},
		{"POST", "/v1/chat/completions", `{` + hi + `}`, []string{"Content-Type", "application/json; charset=utf-8"}, 200},
		{"GET", "/healthz", "", []string{"Host", "LOCALHOST:99"}, 200},
		{"GET", "/healthz", "", []string{"Host", "[::1]:8080"}, 200},
		{"GET", "/healthz", "", []string{"Origin", "https://evil.example"}, 200},
	}
	for _, test := range tests {
		got := s.do(test.method, test.path, test.body, test.headers...)
		if got.status != test.status {
			t.Errorf("%s %s %v = %d %s, want %d", test.method, test.path, test.headers, got.status, got.body, test.status)
		}
		for name, values := range got.header {
			if strings.HasPrefix(name, "Access-Control-") || strings.Contains(strings.Join(values, " "), "evil.example") {
				t.Errorf("%s %s answers with %s: %s", test.method, test.path, name, values)
			}
		}
	}
}

func TestKeys(t *testing.T) {
	keys := []string{"sk-one", "sk-two", ""}
	s := serve(t, newFake(), func(o *Options) { o.APIKeys = func() []string { return keys } })
	tests := []struct {
		headers []string
		status  int
	}{
		{nil, 401},
		{[]string{"Authorization", "Bearer sk-three"}, 401},
		{[]string{"Authorization", "Bearer "}, 401},
		{[]string{"Authorization", "Basic sk-one"}, 401},
		{[]string{"X-Api-Key", "sk-on"}, 401},
		{[]string{"Authorization", "Bearer sk-one"}, 200},
		{[]string{"Authorization", "bearer sk-two"}, 200},
		{[]string{"x-api-key", "sk-two"}, 200},
	}
	for _, test := range tests {
		for _, path := range []string{"/v1/models", "/v1/models/tiny"} {
			if got := s.do("GET", path, "", test.headers...); got.status != test.status {
				t.Errorf("GET %s %v = %d %s, want %d", path, test.headers, got.status, got.body, test.status)
			}
		}
		for _, path := range []string{"/v1/chat/completions", "/v1/completions", "/tokenize", "/detokenize", "/apply-template"} {
			got := s.post(path, `{}`, test.headers...)
			if (got.status == 401) != (test.status == 401) {
				t.Errorf("POST %s %v = %d %s", path, test.headers, got.status, got.body)
			}
		}
		for _, path := range []string{"/healthz", "/readyz", "/metrics", "/openapi.yaml"} {
			if got := s.do("GET", path, "", test.headers...); got.status != 200 {
				t.Errorf("GET %s %v = %d, want no 401", path, test.headers, got.status)
			}
		}
	}
	big := `{` + hi + `,"pad":"` + strings.Repeat("x", 1<<20) + `"}`
	for key, want := range map[string]int{"sk-one": 200, "sk-three": 413} {
		if got := s.post("/v1/chat/completions", big, "x-api-key", key); got.status != want {
			t.Errorf("a large request with key %s = %d, want %d", key, got.status, want)
		}
	}
	keys = nil
	if got := s.do("GET", "/v1/models", "", "x-api-key", "sk-one"); got.status != 401 {
		t.Errorf("after all keys were removed = %d, want 401", got.status)
	}
}

func TestReadiness(t *testing.T) {
	fake := newFake()
	fake.status = Status{Progress: "scoring: 40%", RetryAfter: 7 * time.Second}
	s := serve(t, fake)
	got := s.do("GET", "/readyz", "")
	if got.status != 503 || got.header.Get("Retry-After") != "7" || !bytes.Contains(got.body, []byte("scoring: 40%")) {
		t.Errorf("readyz = %d %v %s", got.status, got.header, got.body)
	}
	if got := s.do("GET", "/healthz", ""); got.status != 200 {
		t.Errorf("healthz = %d", got.status)
	}
	fake.status = Status{Ready: true}
	if got := s.do("GET", "/readyz", ""); got.status != 200 {
		t.Errorf("readyz = %d", got.status)
	}
}

func TestDocumentsAndIndex(t *testing.T) {
	s := serve(t, newFake())
	for _, document := range openapi.Documents() {
		if got := s.do("GET", document.Path+".yaml", ""); !bytes.Equal(got.body, document.YAML) {
			t.Errorf("%s.yaml is not the document", document.Path)
		}
		if got := s.do("GET", document.Path+".json", ""); !bytes.Equal(got.body, document.JSON) {
			t.Errorf("%s.json is not the document", document.Path)
		}
	}
	if got := s.do("GET", "/", ""); got.status != 200 {
		t.Errorf("/ = %d", got.status)
	}
	req, err := http.NewRequest(http.MethodHead, s.url+"/healthz", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := s.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != 200 {
		t.Errorf("HEAD /healthz = %d", res.StatusCode)
	}
}

func TestMetrics(t *testing.T) {
	fake := newFake()
	fake.answer = hello
	s := serve(t, fake)
	s.post("/v1/chat/completions", `{`+hi+`,"n":2}`)
	s.post("/v1/chat/completions", `{`+hi+`,"stream":true,"max_tokens":3}`)
	got := string(s.do("GET", "/metrics", "").body)
	prompt := 2 * fakePromptTokens
	for _, want := range []string{
		"prunellm_requests_in_flight 0\n",
		"prunellm_generation_tokens_total 33\n",
		fmt.Sprintf("prunellm_prompt_tokens_total %d\n", prompt),
		"prunellm_time_to_first_token_seconds_count 2\n",
		"prunellm_e2e_request_latency_seconds_count 2\n",
		"prunellm_inter_token_latency_seconds_count",
		`prunellm_request_success_total{finished_reason="length"} 1`,
		`prunellm_request_success_total{finished_reason="stop"} 2`,
		`prunellm_http_requests_total{method="POST",route="/v1/chat/completions",status="200"} 2`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("metrics lack %q", want)
		}
	}
	if t.Failed() {
		t.Log(got)
	}
}

// fakePromptTokens counts the prompt's tokens of the chat "Hi": <s>, "user:Hi", <|end|>, "assistant:".
const fakePromptTokens = 1 + 7 + 1 + 10

func TestOptionsAreChecked(t *testing.T) {
	if _, err := New(Options{}); err == nil {
		t.Error("New accepted nil models")
	}
	if _, err := New(Options{Models: newFake(), Chat: fakeChat(t, toolsUnknown), ReadTimeout: -1}); err == nil {
		t.Error("New accepted a negative timeout")
	}
}

func TestSameModelTwiceInOneRegistry(t *testing.T) {
	s := serve(t, newFake())
	if _, err := New(Options{Models: newFake(), Chat: fakeChat(t, toolsUnknown), Registry: s.registry}); err == nil {
		t.Error("New registered its metrics twice")
	}
}
