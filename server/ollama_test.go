package server

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"prunellm/infer"
	"prunellm/openapi"
)

const ollamaHi = `{"model":"tiny","messages":[{"role":"user","content":"Hi"}]`

// ollamaWhole puts the lines of a stream together as clients do. A response that is not streamed is one line.
func ollamaWhole(t *testing.T, got reply) openapi.OllamaChatResponse {
	t.Helper()
	if got.status != 200 {
		t.Fatalf("%d %s", got.status, got.body)
	}
	var out openapi.OllamaChatResponse
	lines := bytes.Split(bytes.TrimSuffix(got.body, []byte("\n")), []byte("\n"))
	for i, line := range lines {
		var part struct {
			openapi.OllamaChatResponse
			Response, Thinking string
		}
		if err := json.Unmarshal(line, &part); err != nil {
			t.Fatalf("line %d, %q: %v", i, line, err)
		}
		if part.Done != (i == len(lines)-1) || part.CreatedAt == "" {
			t.Errorf("line %d of %d: %s", i, len(lines), line)
		}
		message, logprobs := out.Message, append(out.Logprobs, part.Logprobs...)
		message.Role = part.Message.Role
		message.Content += part.Message.Content + part.Response
		message.Thinking += part.Message.Thinking + part.Thinking
		message.ToolCalls = append(message.ToolCalls, part.Message.ToolCalls...)
		out = part.OllamaChatResponse
		out.Message, out.Logprobs = message, logprobs
	}
	return out
}

// ollamaBoth sends a request with and without streaming, and sees that the answers are the same.
func ollamaBoth(t *testing.T, s *testServer, path, body string) openapi.OllamaChatResponse {
	t.Helper()
	streamed := ollamaWhole(t, s.post(path, body+"}"))
	plain := ollamaWhole(t, s.post(path, body+`,"stream":false}`))
	ignore := cmp.Options{
		cmpopts.IgnoreFields(openapi.OllamaChatResponse{}, "CreatedAt"), cmpopts.IgnoreFields(openapi.OllamaToolCall{}, "ID"),
		cmpopts.IgnoreFields(openapi.OllamaStats{}, "TotalDuration", "LoadDuration", "PromptEvalDuration", "EvalDuration"),
		cmpopts.EquateEmpty(),
	}
	if diff := cmp.Diff(plain, streamed, ignore); diff != "" {
		t.Errorf("stream of %s %s (-plain +stream):\n%s", path, body, diff)
	}
	return plain
}

func TestOllamaChat(t *testing.T) {
	const tools = `,"tools":[{"type":"function","function":{"name":"weather","parameters":{"type":"object"}}},{"type":"function","function":{"name":"time"}}]`
	tests := []struct{ name, answer, fields, text, calls, reason string }{
		{"text", "Hello, wörld!", ``, "Hello, wörld!", "", "stop"},
		{"cut off", "Hello", `,"options":{"num_predict":2}`, "He", "", "length"},
		{"empty", "", ``, "", "", "stop"},
		{"stop string", "one two", `,"options":{"stop":["x"," t"]}`, "one", "", "stop"},
		{"context", strings.Repeat("a", 100), `,"options":{"num_ctx":40}`, strings.Repeat("a", 21), "", "length"},
		{"calls", "So: " + twoCalls, tools, "So: ", `0 weather{"place":"K\u00f6ln }\""},1 time{}`, "stop"},
		{"half a call", twoCalls[:strings.LastIndex(twoCalls, "arguments")], tools, "", `0 weather{"place":"K\u00f6ln }\""}`, "stop"},
		{"a call cut off", twoCalls, tools + `,"options":{"num_predict":60}`, "", "", "length"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			fake := newFake()
			fake.context = 4096
			fake.answer = func(infer.Request) string { return test.answer }
			got := ollamaBoth(t, serve(t, fake), "/api/chat", ollamaHi+test.fields)
			var calls []string
			for _, call := range got.Message.ToolCalls {
				var compact bytes.Buffer
				if err := json.Compact(&compact, call.Function.Arguments); err != nil || call.ID == "" {
					t.Errorf("call %+v: %v", call, err)
				}
				calls = append(calls, fmt.Sprintf("%d %s%s", call.Function.Index, call.Function.Name, compact.String()))
			}
			if got.Message.Content != test.text || strings.Join(calls, ",") != test.calls || got.DoneReason != test.reason || got.Message.Role != "assistant" {
				t.Errorf("answer %+v", got)
			}
			if got.Model != "tiny@0.2" || got.PromptEvalCount != len(fake.last().Prompt) || got.EvalCount == 0 || got.TotalDuration <= 0 {
				t.Errorf("model %q, stats %+v", got.Model, got.OllamaStats)
			}
		})
	}
}

// TestOllamaOptions: every option has an effect, is refused, or changes no answer.
func TestOllamaOptions(t *testing.T) {
	fake := newFake()
	s := serve(t, fake)
	defaults := infer.Sampling{Temperature: 0.8, TopK: 40, TopP: 0.95, MinP: 0.05, TypicalP: 1, RepetitionPenalty: 1}
	all := infer.Sampling{
		Temperature: 0.5, TopK: 7, TopP: 0.7, MinP: 0.1, TypicalP: 0.6, RepetitionPenalty: 1.3, RepetitionWindow: 32,
		PresencePenalty: 0.2, FrequencyPenalty: 0.3, Seed: 42,
	}
	for options, want := range map[string]infer.Sampling{
		`{}`: defaults,
		`{"num_gpu":1,"num_thread":2,"num_batch":8,"main_gpu":0,"use_mmap":true,"num_keep":5,"mirostat":0,"mirostat_tau":5.0,"seed":-1,"num_predict":-1,"num_ctx":0}`:            defaults,
		`{"temperature":0.5,"top_k":7,"top_p":0.7,"min_p":0.1,"typical_p":0.6,"repeat_penalty":1.3,"repeat_last_n":32,"presence_penalty":0.2,"frequency_penalty":0.3,"seed":42}`: all,
		`{"repeat_penalty":1.3,"repeat_last_n":0}`:  defaults,
		`{"repeat_penalty":1.3,"repeat_last_n":-1}`: {Temperature: 0.8, TopK: 40, TopP: 0.95, MinP: 0.05, TypicalP: 1, RepetitionPenalty: 1.3},
		`{"repeat_penalty":1.3}`:                    {Temperature: 0.8, TopK: 40, TopP: 0.95, MinP: 0.05, TypicalP: 1, RepetitionPenalty: 1.3, RepetitionWindow: 64},
	} {
		if got := s.post("/api/chat", ollamaHi+`,"options":`+options+"}"); got.status != 200 {
			t.Fatalf("%s = %d %s", options, got.status, got.body)
		}
		got := fake.last().Sampling
		if want.Seed == 0 {
			got.Seed = 0
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", options, diff)
		}
	}
	for options, param := range map[string]string{
		`{"temperature":3}`: "options.temperature", `{"mirostat":2}`: "options.mirostat", `{"tfs_z":0.5}`: "options.tfs_z", `{"num_ctx":-1}`: "options.num_ctx",
		`{"stop":[""]}`: "stop", `{"num_ctx":19}`: "num_ctx is 19", `{"num_ctx":"a"}`: "options.num_ctx", `{"dry_multiplier":0.8}`: "options.dry_multiplier",
	} {
		if got := s.post("/api/chat", ollamaHi+`,"options":`+options+"}"); got.status != 400 || !strings.Contains(string(got.body), param) {
			t.Errorf("%s = %d %s, want 400 that names %s", options, got.status, got.body, param)
		}
	}
	// More than there is does no harm: an answer ends where the context does.
	if got := s.post("/api/chat", ollamaHi+`,"options":{"num_ctx":1000000,"num_predict":1000}}`); got.status != 200 || fake.last().MaxTokens != fakeContext-len(fake.last().Prompt) {
		t.Errorf("a large num_ctx = %d %s, with at most %d tokens", got.status, got.body, fake.last().MaxTokens)
	}
}

// TestOllamaFormats sees what grammar holds the answer.
func TestOllamaFormats(t *testing.T) {
	fake := newFake()
	s := serve(t, fake)
	for _, path := range []string{"/api/chat", "/api/generate"} {
		for format, held := range map[string]bool{`""`: false, `null`: false, `"json"`: true, `{"type":"object"}`: true} {
			for _, more := range []string{"", `,"raw":true`} {
				body := `{"prompt":"Hi"` + more
				if path == "/api/chat" {
					body = ollamaHi
				}
				if got := s.post(path, body+`,"format":`+format+"}"); got.status != 200 {
					t.Errorf("%s %s = %d %s", path, format, got.status, got.body)
				} else if grammar := fake.last().Grammar; (grammar != "") != held {
					t.Errorf("%s %s %s has the grammar %q", path, more, format, grammar)
				}
			}
		}
		for format, says := range map[string]string{`"yaml"`: "json or a JSON schema", `3`: "format is a number", `{"uniqueItems":true}`: "uniqueItems"} {
			body := `{"prompt":"Hi"`
			if path == "/api/chat" {
				body = ollamaHi
			}
			if got := s.post(path, body+`,"format":`+format+"}"); got.status != 400 || !strings.Contains(string(got.body), says) {
				t.Errorf("%s %s = %d %s", path, format, got.status, got.body)
			}
		}
	}
}

// TestOllamaThinking: thinking has its own field, think switches it, and a model that has none is not asked for it.
func TestOllamaThinking(t *testing.T) {
	fake := newFake()
	fake.template = thinks
	fake.context = 4096
	fake.answer = func(infer.Request) string { return "<think>\nHm, größer.\n</think>\n\nYes." }
	s := serve(t, fake)
	for path, body := range map[string]string{"/api/chat": ollamaHi, "/api/generate": `{"prompt":"Hi"`} {
		if got := ollamaBoth(t, s, path, body).Message; got.Thinking != "Hm, größer." || got.Content != "Yes." {
			t.Errorf("%s: %+v", path, got)
		}
	}
	for think, budget := range map[string]int{"true": -1, "false": 0, `"high"`: -1} {
		if got := s.post("/api/chat", ollamaHi+`,"think":`+think+"}"); got.status != 200 || fake.last().Thinking.Budget != budget {
			t.Errorf("think %s = %d %s with a budget of %d, want %d", think, got.status, got.body, fake.last().Thinking.Budget, budget)
		}
	}
	if prompt := text(&fakeVariant{}, fake.last().Prompt); prompt == "" {
		t.Error("no prompt")
	}
	plain := serve(t, newFake())
	for think, status := range map[string]int{"true": 400, `"low"`: 400, "false": 200, "null": 200} {
		if got := plain.post("/api/chat", ollamaHi+`,"think":`+think+"}"); got.status != status || status == 400 && !strings.Contains(string(got.body), "does not support thinking") {
			t.Errorf("think %s of a model without = %d %s", think, got.status, got.body)
		}
	}
}

// TestOllamaPrompt sees how messages, calls and their results become the prompt.
func TestOllamaPrompt(t *testing.T) {
	fake := newFake()
	fake.template = "{% for m in messages %}{{ m.role }}{% if m.name %}({{ m.name }}){% endif %}{% if m.tool_call_id %}#{{ m.tool_call_id }}{% endif %}:{{ m.content }}" +
		"{% for c in m.tool_calls or [] %}{{ c.id }}={{ c.function.name }}{{ c.function.arguments | tojson }}{% endfor %}<|end|>{% endfor %}" +
		"{% if add_generation_prompt %}assistant:{% endif %}{% if tools %}<tool_call> arguments{% endif %}"
	fake.context = 4096
	s := serve(t, fake)
	tests := map[string]struct{ path, body, want string }{
		"roles": {"/api/chat", `{"messages":[{"role":"System","content":"a"},{"role":"USER","content":"b"},{"role":"assistant","content":"c"},{"role":"user","content":"d"}]}`,
			"system:a<|end|>user:b<|end|>assistant:c<|end|>user:d<|end|>assistant:"},
		"calls without ids": {"/api/chat", `{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"","tool_calls":[{"function":{"name":"f","arguments":{"x":1}}},{"function":{"name":"g"}}]},
			{"role":"tool","tool_name":"g","content":"G"},{"role":"tool","content":"F"},{"role":"tool","content":"?"}]}`,
			`user:a<|end|>assistant:call00001=f{"x": 1}call00002=g{}<|end|>tool(g)#call00002:G<|end|>tool(f)#call00001:F<|end|>tool:?<|end|>assistant:`},
		"calls with ids": {"/api/chat", `{"messages":[{"role":"user","content":"a"},{"role":"assistant","tool_calls":[{"id":"one","function":{"name":"f","arguments":{}}},{"id":"two","function":{"name":"f","arguments":{}}}]},
			{"role":"tool","tool_call_id":"two","content":"2"},{"role":"tool","tool_call_id":"one","content":"1"}]}`,
			`user:a<|end|>assistant:one=f{}two=f{}<|end|>tool(f)#two:2<|end|>tool(f)#one:1<|end|>assistant:`},
		"continued":   {"/api/chat", `{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"It is"}]}`, "user:a<|end|>assistant:It is"},
		"prompt":      {"/api/generate", `{"prompt":"a","system":"s"}`, "system:s<|end|>user:a<|end|>assistant:"},
		"raw":         {"/api/generate", `{"prompt":"a<|end|>","raw":true}`, "<s>a<|end|>"},
		"template ''": {"/api/generate", `{"prompt":"a","template":"","images":[],"suffix":""}`, "user:a<|end|>assistant:"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := s.post(test.path, test.body); got.status != 200 {
				t.Fatalf("%d %s", got.status, got.body)
			}
			got := strings.TrimPrefix(text(&fakeVariant{}, fake.last().Prompt), "<s>")
			if want := strings.TrimPrefix(test.want, "<s>"); got != want {
				t.Errorf("prompt\n%q, want\n%q", got, want)
			}
		})
	}
}

// TestOllamaContext: the context of a response, sent back, is the beginning of the next prompt.
func TestOllamaContext(t *testing.T) {
	fake := newFake()
	fake.answer = func(infer.Request) string { return "Hello" }
	s := serve(t, fake)
	var first, last openapi.OllamaGenerateResponse
	s.post("/api/generate", `{"prompt":"a","stream":false}`).decode(t, &first)
	prompt := text(&fakeVariant{}, fake.last().Prompt)
	lines := bytes.Split(bytes.TrimSpace(s.post("/api/generate", `{"prompt":"a"}`).body), []byte("\n"))
	if err := json.Unmarshal(lines[len(lines)-1], &last); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(first.Context, last.Context) || len(first.Context) != len(prompt)-len("<s>")-len("<|end|>")+2+len("Hello") {
		t.Errorf("contexts %v and %v of the prompt %q", first.Context, last.Context, prompt)
	}
	again, err := json.Marshal(first.Context)
	if err != nil {
		t.Fatal(err)
	}
	if got := s.post("/api/generate", `{"prompt":"b","context":`+string(again)+"}"); got.status != 200 {
		t.Fatalf("%d %s", got.status, got.body)
	}
	if got, want := text(&fakeVariant{}, fake.last().Prompt), prompt+"Hello"+"user:b<|end|>assistant:"; got != want {
		t.Errorf("prompt %q, want %q", got, want)
	}
	var raw openapi.OllamaGenerateResponse
	s.post("/api/generate", `{"prompt":"a","raw":true,"stream":false}`).decode(t, &raw)
	if raw.Context != nil {
		t.Errorf("a raw prompt has the context %v", raw.Context)
	}
	for body, says := range map[string]string{
		`{"prompt":"a","context":[1],"raw":true}`: "raw", `{"prompt":"a","context":[999]}`: "context", `{"prompt":"a","context":["a"]}`: "context",
		`{"prompt":"a","system":"b","raw":true}`: "raw", `{"prompt":"a","suffix":"b","raw":true}`: "suffix",
	} {
		if got := s.post("/api/generate", body); got.status != 400 || !strings.Contains(string(got.body), says) {
			t.Errorf("%s = %d %s", body, got.status, got.body)
		}
	}
}

// TestOllamaLoad: a request without anything to answer loads the model, and is one object even where streams are asked for.
func TestOllamaLoad(t *testing.T) {
	fake := newFake()
	s := serve(t, fake)
	for path, bodies := range map[string][]string{
		"/api/chat": {`{"model":"tiny"}`, `{"model":"tiny:latest","messages":[],"keep_alive":-1}`}, "/api/generate": {`{"model":"tiny","keep_alive":"5m"}`, `{"model":"tiny@0.3:latest","prompt":""}`},
	} {
		for _, body := range bodies {
			got := s.post(path, body)
			if whole := ollamaWhole(t, got); whole.DoneReason != "load" || !whole.Done || got.header.Get("X-Prunellm-Variant") == "" {
				t.Errorf("%s %s = %s", path, body, got.body)
			}
		}
	}
	if len(fake.requests) > 0 || fake.acquired.Load() != 4 || fake.released.Load() != 4 {
		t.Errorf("%d generations, %d variants acquired, %d released", len(fake.requests), fake.acquired.Load(), fake.released.Load())
	}
	if got := s.post("/api/chat", `{"model":"other"}`); got.status != 404 {
		t.Errorf("loading another model = %d %s", got.status, got.body)
	}
}

func TestOllamaLogprobs(t *testing.T) {
	fake := newFake()
	fake.answer = func(infer.Request) string { return "wör" }
	s := serve(t, fake)
	for path, body := range map[string]string{"/api/chat": ollamaHi, "/api/generate": `{"prompt":"Hi"`} {
		got := ollamaBoth(t, s, path, body+`,"logprobs":true,"top_logprobs":2`)
		if len(got.Logprobs) != 4 || len(got.Logprobs[0].TopLogprobs) != 2 || got.Logprobs[0].Token != "w" {
			t.Errorf("%s: log probabilities %+v", path, got.Logprobs)
		}
		if got := ollamaBoth(t, s, path, body); len(got.Logprobs) != 0 {
			t.Errorf("%s: log probabilities %+v that nobody asked for", path, got.Logprobs)
		}
	}
}

// TestOllamaErrors sees refusals in Ollama's form; checkContract looks at the form itself.
func TestOllamaErrors(t *testing.T) {
	s := serve(t, newFake(), withKey)
	for body, want := range map[string]struct {
		status int
		says   string
	}{
		`{`: {400, "not valid JSON"}, `{"model":"","messages":[]}`: {400, "model is empty"}, `{"model":"llama3","messages":[{"role":"user","content":"a"}]}`: {404, "llama3"},
		`{"messages":[{"role":"user","content":"a","images":["aGk="]}]}`:                                {400, "reads text alone"},
		`{"messages":[{"role":"robot","content":"a"}]}`:                                                 {400, "system, user, assistant or tool"},
		`{"messages":[{"role":"user","content":["a"]}]}`:                                                {400, "messages[0].content"},
		`{"messages":[{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":"{}"}}]}]}`: {400, "arguments is a string"},
		`{"messages":[{"role":"user","content":"a","tool_calls":[{"function":{"name":"f"}}]}]}`:         {400, "only assistant messages"},
		`{"messages":[{"role":"user","content":"a"}],"_debug_render_only":true}`:                        {400, "/apply-template"},
		`{"messages":[{"role":"user","content":"` + strings.Repeat("a", 300) + `"}]}`:                   {400, "prompt is too long"},
		`{"messages":[{"role":"user","content":"a"}],"keep_alive":true}`:                                {400, "keep_alive"},
		`{"messages":[{"role":"user","content":"a"}],"think":"deep"}`:                                   {400, "think"},
	} {
		if got := s.post("/api/chat", body, "x-api-key", "secret"); got.status != want.status || !strings.Contains(string(got.body), want.says) {
			t.Errorf("%s = %d %s, want %d and %q", body, got.status, got.body, want.status, want.says)
		}
	}
	for _, path := range []string{"/api/chat", "/api/generate", "/api/show", "/api/embed", "/api/embeddings", "/api/pull", "/api/push", "/api/create", "/api/copy"} {
		if got := s.post(path, `{"model":"tiny"}`); got.status != 401 {
			t.Errorf("%s without a key = %d %s", path, got.status, got.body)
		}
	}
	for _, path := range []string{"/api/tags", "/api/ps"} {
		if got := s.do("GET", path, ""); got.status != 401 {
			t.Errorf("%s without a key = %d %s", path, got.status, got.body)
		}
	}
	if got := s.post("/api/chat", ollamaHi+"}", "x-api-key", "secret", "Content-Type", "application/x-www-form-urlencoded"); got.status != 415 {
		t.Errorf("a form = %d %s", got.status, got.body)
	}
	if got := s.post("/api/blobs/sha256:1", `{}`, "x-api-key", "secret"); got.status != 404 {
		t.Errorf("an unknown path = %d %s", got.status, got.body)
	}
}

// TestOllamaStreamFails: an error that comes after the stream has begun is its last line.
func TestOllamaStreamFails(t *testing.T) {
	fake := newFake()
	fake.panicAt = 3
	got := serve(t, fake).post("/api/chat", ollamaHi+"}")
	lines := bytes.Split(bytes.TrimSpace(got.body), []byte("\n"))
	if !bytes.HasPrefix(lines[len(lines)-1], []byte(`{"error":"internal error`)) || !bytes.Contains(lines[0], []byte(`"done":false`)) {
		t.Errorf("stream %s", got.body)
	}
}

// TestOllamaStreamWaits: lines without news come while there is no token, and while the variant is made.
func TestOllamaStreamWaits(t *testing.T) {
	for path, body := range map[string]string{"/api/chat": ollamaHi + "}", "/api/generate": `{"prompt":"a"}`} {
		for name, hold := range map[string]func(*fakeModels, <-chan struct{}){
			"prefill": func(m *fakeModels, ready <-chan struct{}) {
				m.wait = func(ctx context.Context, token int) error { return untilReady(ctx, ready) }
			},
			"variant": func(m *fakeModels, ready <-chan struct{}) {
				m.acquire = func(ctx context.Context, _ openapi.ModelName) error { return untilReady(ctx, ready) }
			},
		} {
			t.Run(path+" "+name, func(t *testing.T) {
				fake := newFake()
				fake.answer = func(infer.Request) string { return "Hello" }
				ready := make(chan struct{})
				hold(fake, ready)
				s := serve(t, fake)
				res, err := s.client.Post(s.url+path, "application/json", strings.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				defer res.Body.Close()
				var got bytes.Buffer
				buffer := make([]byte, 4096)
				for opened := false; !bytes.Contains(got.Bytes(), []byte(`"done":true`)); {
					n, err := res.Body.Read(buffer)
					got.Write(buffer[:n])
					if n == 0 && err != nil {
						t.Fatalf("%v after %q", err, got.String())
					}
					if !opened && bytes.Count(got.Bytes(), []byte("\n")) >= 3 {
						opened = true
						close(ready)
					}
				}
				whole := ollamaWhole(t, reply{status: res.StatusCode, body: got.Bytes()})
				if whole.Message.Content != "Hello" || res.Header.Get("Content-Type") != "application/x-ndjson" {
					t.Errorf("answer %+v of type %s", whole, res.Header.Get("Content-Type"))
				}
			})
		}
	}
}

func TestOllamaModels(t *testing.T) {
	fake := newFake()
	fake.template = thinks
	s := serve(t, fake, someFacts)
	details := openapi.OllamaDetails{Format: "gguf", Family: "llama", Families: []string{"llama"}, ParameterSize: "1K", QuantizationLevel: "Q4_1"}
	dense := details
	dense.ParameterSize = "1.23M"
	var tags, loaded openapi.OllamaModels
	s.do("GET", "/api/tags", "").decode(t, &tags)
	at := "2023-11-14T22:13:20Z"
	want := []openapi.OllamaModel{
		{Name: "tiny@0.2:latest", Model: "tiny@0.2:latest", ModifiedAt: at, Size: 4000, Details: details},
		{Name: "tiny@0:latest", Model: "tiny@0:latest", ModifiedAt: at, Details: dense},
	}
	if diff := cmp.Diff(want, tags.Models); diff != "" {
		t.Errorf("tags (-want +got):\n%s", diff)
	}
	s.do("GET", "/api/ps", "").decode(t, &loaded)
	if len(loaded.Models) != 1 || loaded.Models[0].Name != "tiny@0.2:latest" {
		t.Errorf("loaded %+v", loaded)
	}
	for _, name := range []string{"tiny", "tiny:latest", "tiny@0.2", "tiny@0.2:latest", "default"} {
		for _, field := range []string{"model", "name"} {
			var show openapi.OllamaShow
			got := s.post("/api/show", `{"`+field+`":"`+name+`","verbose":true}`)
			if got.decode(t, &show); got.status != 200 || show.Template != thinks || show.Parameters != "num_ctx 256" ||
				!slices.Equal(show.Capabilities, []string{"completion", "tools", "thinking"}) || show.ModelInfo["llama.context_length"] != 256.0 ||
				show.ModelInfo["general.parameter_count"] != 1000.0 || show.Details.QuantizationLevel != "Q4_1" {
				t.Errorf("show %s = %d %s", name, got.status, got.body)
			}
		}
	}
	for body, status := range map[string]int{`{"model":"llama3"}`: 404, `{"model":"tiny@0.4"}`: 404, `{}`: 400, `{"model":"tiny@2"}`: 400, `{"model":3}`: 400} {
		if got := s.post("/api/show", body); got.status != status {
			t.Errorf("show %s = %d %s, want %d", body, got.status, got.body, status)
		}
	}
	var version openapi.Version
	if s.do("GET", "/api/version", "").decode(t, &version); version.Version != openapi.OllamaVersion {
		t.Errorf("version %+v", version)
	}
}

// TestOllamaFiles: what is here need not be pulled, and nothing else can be; each refusal says what to do instead.
func TestOllamaFiles(t *testing.T) {
	s := serve(t, newFake())
	if got := s.post("/api/pull", `{"model":"tiny:latest"}`); string(got.body) != "{\"status\":\"success\"}\n" || got.header.Get("Content-Type") != "application/x-ndjson" {
		t.Errorf("pull = %d %q %s", got.status, got.body, got.header)
	}
	if got := s.post("/api/pull", `{"name":"tiny@0.4","stream":false}`); string(got.body) != `{"status":"success"}` || got.header.Get("Content-Type") != "application/json" {
		t.Errorf("pull = %d %q %s", got.status, got.body, got.header)
	}
	for _, c := range []struct{ method, path, says string }{
		{"POST", "/api/pull", "--model hf:owner/name"}, {"POST", "/api/push", "--cache-dir"}, {"POST", "/api/create", "/admin/variants"},
		{"POST", "/api/copy", "--served-model-name"}, {"DELETE", "/api/delete", "/admin/variants"},
	} {
		if got := s.do(c.method, c.path, `{"model":"llama3","source":"a","destination":"b"}`); got.status != 501 || !strings.Contains(string(got.body), c.says) {
			t.Errorf("%s %s = %d %s", c.method, c.path, got.status, got.body)
		}
	}
}

func TestOllamaEmbed(t *testing.T) {
	fake := newFake()
	s := serve(t, fake)
	var got openapi.OllamaEmbedResponse
	s.post("/api/embed", `{"model":"tiny","input":["a","bcd"],"truncate":true,"options":{"num_ctx":5},"keep_alive":0}`).decode(t, &got)
	if diff := cmp.Diff([][]float32{{2, 257.5}, {4, 257.5}}, got.Embeddings); diff != "" || got.Model != "tiny@0.2" || got.PromptEvalCount != 6 {
		t.Errorf("response %+v", got)
	}
	for body, want := range map[string][][]float32{
		`{"input":"a"}`: {{2, 257.5}}, `{"input":"","model":"tiny"}`: {}, `{"input":[]}`: {}, `{"input":"` + strings.Repeat("ö", 40000) + `"}`: {{fakeContext, 257.5}},
	} {
		var got openapi.OllamaEmbedResponse
		if s.post("/api/embed", body).decode(t, &got); !cmp.Equal(want, got.Embeddings) {
			t.Errorf("%.40s = %+v, want %v", body, got.Embeddings, want)
		}
	}
	for body, says := range map[string]string{
		`{}`: "input is missing", `{"input":3}`: "input", `{"input":[3]}`: "input[0]", `{"input":["a",""]}`: "input[1]", `{"input":"a","dimensions":1}`: "must be 2",
		`{"input":"` + strings.Repeat("a", 300) + `","truncate":false}`: "prompt is too long",
	} {
		if got := s.post("/api/embed", body); got.status != 400 || !strings.Contains(string(got.body), says) {
			t.Errorf("%.40s = %d %s", body, got.status, got.body)
		}
	}
	var one openapi.OllamaEmbeddingResponse
	if s.post("/api/embeddings", `{"model":"tiny","prompt":"abc"}`).decode(t, &one); !slices.Equal(one.Embedding, []float32{4, 257.5}) {
		t.Errorf("embedding %v", one.Embedding)
	}
	if s.post("/api/embeddings", `{"model":"tiny"}`).decode(t, &one); len(one.Embedding) != 0 {
		t.Errorf("embedding of nothing %v", one.Embedding)
	}
}

// TestOllamaOverload sees what clients retry.
func TestOllamaOverload(t *testing.T) {
	fake := newFake()
	fake.submit = func(infer.Request) error { return infer.ErrQueueFull }
	s := serve(t, fake)
	if got := s.post("/api/chat", ollamaHi+"}"); got.status != http.StatusTooManyRequests || got.header.Get("Retry-After") == "" {
		t.Errorf("a full queue = %d %s", got.status, got.body)
	}
}
