package server

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"prunellm/infer"
	"prunellm/openapi"
)

const (
	messagesHi    = `{"max_tokens":200,"messages":[{"role":"user","content":"Hi"}]`
	weatherCustom = `,"tools":[{"name":"weather","input_schema":{"type":"object"}},{"type":"custom","name":"time","input_schema":{}}]`
)

// outline returns a message as text, without its ids.
func outline(m openapi.MessagesResponse) string {
	var out []string
	for _, block := range m.Content {
		switch block.Type {
		case openapi.BlockText:
			out = append(out, *block.Text)
		case openapi.BlockToolUse:
			var input bytes.Buffer
			if json.Compact(&input, block.Input) != nil {
				input.Write(block.Input)
			}
			out = append(out, block.Name+input.String())
		}
	}
	end := "none"
	if m.StopReason != nil {
		end = *m.StopReason
	}
	if m.StopSequence != nil {
		end += " " + *m.StopSequence
	}
	return end + ": " + strings.Join(out, ", ")
}

// messagesEvent has the members of all events.
type messagesEvent struct {
	Type    string
	Message *openapi.MessagesResponse
	Index   int
	Block   *openapi.MessagesBlock `json:"content_block"`
	Delta   struct {
		Type         string
		Text         *string
		PartialJSON  *string `json:"partial_json"`
		Thinking     *string
		Signature    *string
		StopReason   *string `json:"stop_reason"`
		StopSequence *string `json:"stop_sequence"`
	}
	Usage openapi.MessagesUsage
	Error openapi.MessagesError
}

// assemble builds a message from a stream as clients do, and checks that the events have the order that clients expect.
func assemble(t *testing.T, got reply) openapi.MessagesResponse {
	t.Helper()
	var m openapi.MessagesResponse
	var kinds []string
	open := false
	for _, raw := range events(t, got.body) {
		var e messagesEvent
		if err := json.Unmarshal(raw, &e); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(got.body), "event: "+e.Type+"\ndata: "+string(raw)+"\n\n") {
			t.Errorf("no event line for %s", raw)
		}
		if kinds = append(kinds, e.Type); e.Type == "ping" {
			continue
		}
		last := len(m.Content) - 1
		switch e.Type {
		case "message_start":
			m = *e.Message
		case "content_block_start":
			if open || e.Index != last+1 {
				t.Errorf("block %d starts after block %d (open: %v)", e.Index, last, open)
			}
			if open = true; e.Block.Type == openapi.BlockToolUse {
				e.Block.Input = nil
			}
			m.Content = append(m.Content, *e.Block)
		case "content_block_delta":
			if !open || e.Index != last {
				t.Fatalf("delta of block %d while block %d is open (%v)", e.Index, last, open)
			}
			switch block := &m.Content[last]; e.Delta.Type {
			case "text_delta":
				*block.Text += *e.Delta.Text
			case "thinking_delta":
				*block.Thinking += *e.Delta.Thinking
			case "signature_delta":
				*block.Signature += *e.Delta.Signature
			case "input_json_delta":
				block.Input = append(block.Input, *e.Delta.PartialJSON...)
			}
		case "content_block_stop":
			open = false
		case "message_delta":
			m.StopReason, m.StopSequence, m.Usage = e.Delta.StopReason, e.Delta.StopSequence, e.Usage
		}
	}
	if open || kinds[0] != "message_start" || !slices.Equal(kinds[len(kinds)-2:], []string{"message_delta", "message_stop"}) {
		t.Errorf("events %v, last block still open: %v", kinds, open)
	}
	return m
}

func TestMessages(t *testing.T) {
	tests := []struct {
		name, answer, fields, want string
		context                    int
	}{
		{"text", "Hello, wörld!", ``, "end_turn: Hello, wörld!", 4096},
		{"cut off", "Hello", `,"max_tokens":2`, "max_tokens: He", 4096},
		{"empty", "", ``, "end_turn: ", 4096},
		{"calls", "So: " + twoCalls, weatherCustom, `tool_use: So: , weather{"place":"K\u00f6ln }\""}, time{}`, 4096},
		{"only calls", twoCalls, weatherCustom, `tool_use: weather{"place":"K\u00f6ln }\""}, time{}`, 4096},
		{"no tools", "So: " + twoCalls, weatherCustom + `,"tool_choice":{"type":"none"}`, "end_turn: So: " + twoCalls, 4096},
		{"stop sequence", "one two", `,"stop_sequences":["x"," t"]`, "stop_sequence  t: one", 4096},
		{"full context", strings.Repeat("a", 100), ``, "model_context_window_exceeded: " + strings.Repeat("a", 45), 64},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			fake := newFake()
			fake.context = test.context
			fake.answer = func(infer.Request) string { return test.answer }
			s := serve(t, fake)
			body := messagesHi + test.fields
			got := s.post("/v1/messages", body+"}")
			var plain openapi.MessagesResponse
			got.decode(t, &plain)
			if outline(plain) != test.want {
				t.Errorf("message %q, want %q", outline(plain), test.want)
			}
			usage := plain.Usage
			if prompt := len(fake.last().Prompt); usage.CacheReadTokens != 1 || usage.InputTokens != prompt-1 || usage.OutputTokens == 0 {
				t.Errorf("usage %+v of a prompt of %d tokens, 1 of them cached", usage, prompt)
			}
			if got.header.Get("Request-Id") == "" || got.header.Get("Request-Id") != got.header.Get("X-Request-Id") {
				t.Errorf("request ids %q and %q", got.header.Get("Request-Id"), got.header.Get("X-Request-Id"))
			}
			streamed := assemble(t, s.post("/v1/messages?beta=true", body+`,"stream":true}`, "anthropic-beta", "some-2030-01-01", "anthropic-version", "2023-06-01"))
			if outline(streamed) != outline(plain) {
				t.Errorf("stream %q, want %q", outline(streamed), outline(plain))
			}
			if diff := cmp.Diff(plain.Usage, streamed.Usage); diff != "" {
				t.Errorf("usage differs (-plain +stream):\n%s", diff)
			}
		})
	}
}

// TestMessagesCutCall checks that a call that was cut off has an empty input, and that the stop reason does not request the
// tool.
func TestMessagesCutCall(t *testing.T) {
	fake := newFake()
	fake.context = 4096
	fake.answer = func(infer.Request) string { return twoCalls }
	s := serve(t, fake)
	var got openapi.MessagesResponse
	s.post("/v1/messages", messagesHi+weatherCustom+`,"max_tokens":60}`).decode(t, &got)
	if want := "max_tokens: weather{}"; outline(got) != want {
		t.Errorf("message %q, want %q", outline(got), want)
	}
}

// TestMessagesPrompt checks how blocks become the prompt.
func TestMessagesPrompt(t *testing.T) {
	fake := newFake()
	fake.template = toolsHermes
	fake.context = 4096
	s := serve(t, fake)
	tests := map[string]struct{ fields, want string }{
		"text":     {`"system":"Be nice","messages":[{"role":"user","content":"a"}]`, "system:Be nice<|end|>user:a"},
		"blocks":   {`"system":[{"type":"text","text":"A"},{"type":"text","text":"B","cache_control":{"type":"ephemeral"}}],"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}]`, "system:A\nB<|end|>user:a\nb"},
		"one role": {`"messages":[{"role":"user","content":"a"},{"role":"user","content":"b"},{"role":"assistant","content":"c"},{"role":"assistant","content":[]},{"role":"user","content":"d"}]`, "user:a\nb<|end|>assistant:c<|end|>user:d"},
		"tools": {`"messages":[{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":"s"},{"type":"text","text":"b"},{"type":"tool_use","id":"toolu_1","name":"f","input":{}}]},
			{"role":"user","content":[{"type":"tool_result","tool_use_id":"toolu_1","content":"c"},{"type":"tool_result","tool_use_id":"toolu_2","content":[{"type":"text","text":"d"},{"type":"text","text":"e"}]},{"type":"text","text":"f"}]}]`,
			"user:a<|end|>assistant:b<|end|>tool:c<|end|>tool:d\ne<|end|>user:f"},
		"only results": {`"messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"toolu_1"},{"type":"tool_result","tool_use_id":"toolu_2","is_error":true,"content":"no such file"},
			{"type":"tool_result","tool_use_id":"toolu_3","is_error":true,"content":"Error 5"},{"type":"tool_result","tool_use_id":"toolu_4","is_error":true}]}]`,
			"tool:<|end|>tool:Error: no such file<|end|>tool:Error 5<|end|>tool:Error"},
		"system in between": {`"messages":[{"role":"user","content":"a"},{"role":"system","content":"b"},{"role":"assistant","content":"c"},{"role":"user","content":"d"}]`, "user:a<|end|>system:b<|end|>assistant:c<|end|>user:d"},
		"document":          {`"messages":[{"role":"user","content":[{"type":"document","title":"T","source":{"type":"text","media_type":"text/plain","data":"d"}},{"type":"text","text":"a"}]}]`, "user:T\nd\na"},
		"another server's":  {`"messages":[{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"server_tool_use","id":"s","name":"web_search","input":{}},{"type":"web_search_tool_result","tool_use_id":"s","content":[]}]},{"role":"user","content":"b"}]`, "user:a<|end|>assistant:<|end|>user:b"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := s.post("/v1/messages", `{"max_tokens":5,`+test.fields+"}"); got.status != 200 {
				t.Fatalf("%d %s", got.status, got.body)
			}
			prompt, want := text(&fakeVariant{}, fake.last().Prompt), "<s>"+test.want+"<|end|>assistant:"
			if prompt != want {
				t.Errorf("prompt %q, want %q", prompt, want)
			}
			var counted openapi.MessagesTokens
			s.post("/v1/messages/count_tokens", "{"+test.fields+"}").decode(t, &counted)
			if counted.InputTokens != len(fake.last().Prompt) {
				t.Errorf("%d tokens counted, want %d", counted.InputTokens, len(fake.last().Prompt))
			}
		})
	}
}

// TestBillingHeader checks that the line that Claude Code changes in each request does not reach the prompt.
func TestBillingHeader(t *testing.T) {
	fake := newFake()
	s := serve(t, fake)
	var prompts []string
	for _, system := range []string{`[{"type":"text","text":"x-anthropic-billing-header: cc_version=2.1.1.abc; cch=00001;"},{"type":"text","text":"Be nice"}]`,
		`[{"type":"text","text":"x-anthropic-billing-header: cc_version=2.1.1.def; cch=ffff2;"},{"type":"text","text":"Be nice"}]`,
		`"x-anthropic-billing-header: cch=3;\nBe nice"`, `"Be nice"`} {
		if got := s.post("/v1/messages", messagesHi+`,"system":`+system+"}"); got.status != 200 {
			t.Fatalf("%d %s", got.status, got.body)
		}
		prompts = append(prompts, text(&fakeVariant{}, fake.last().Prompt))
	}
	for _, prompt := range prompts {
		if want := "<s>system:Be nice<|end|>user:Hi<|end|>assistant:"; prompt != want {
			t.Errorf("prompt %q, want %q", prompt, want)
		}
	}
}

// TestMessagesSkipTools checks that the server skips tools that it does not offer, and names their types in a header.
func TestMessagesSkipTools(t *testing.T) {
	fake := newFake()
	fake.template = toolsHermes
	fake.context = 4096
	s := serve(t, fake)
	body := `{"max_tokens":5,"messages":[{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"server_tool_use","id":"s","name":"w","input":{}},{"type":"text","text":"b"}]},{"role":"user","content":"c"}],
		"tools":[{"type":"web_search_20250305","name":"web_search"},{"type":"bash_20250124","name":"bash"},{"name":"time","input_schema":{"type":"object"}},{"type":"bash_20250124","name":"sh"}]}`
	for _, path := range []string{"/v1/messages", "/v1/messages/count_tokens"} {
		got := s.post(path, body)
		if got.status != 200 || got.header.Get("x-prunellm-skipped-tools") != "web_search_20250305,bash_20250124" || got.header.Get("x-prunellm-skipped-items") != "server_tool_use" {
			t.Errorf("%s = %d %v %s", path, got.status, got.header, got.body)
		}
	}
	if prompt, want := text(&fakeVariant{}, fake.last().Prompt), "<s>tool:time<|end|>user:a<|end|>assistant:b<|end|>user:c<|end|>assistant:"; prompt != want {
		t.Errorf("prompt %q, want %q", prompt, want)
	}
}

// TestMessagesToolChoice checks which grammar constrains the answer.
func TestMessagesToolChoice(t *testing.T) {
	fake := newFake()
	fake.template = toolsHermes
	fake.context = 4096
	s := serve(t, fake)
	for choice, want := range map[string]struct{ has, lacks string }{
		`{"type":"auto"}`: {"text-0", "nothing"},
		`{"type":"any"}`:  {"root ::= calls", "text-0"},
		`{"type":"any","disable_parallel_tool_use":true}`:  {`more ::= ""`, "{0,15}"},
		`{"type":"auto","disable_parallel_tool_use":true}`: {`more ::= ""`, "{0,15}"},
		`{"type":"tool","name":"time"}`:                    {"call ::= call-1\n", "call-0"},
	} {
		if got := s.post("/v1/messages", messagesHi+weatherCustom+`,"tool_choice":`+choice+"}"); got.status != 200 {
			t.Errorf("%s = %d %s", choice, got.status, got.body)
		} else if grammar := fake.last().Grammar; !strings.Contains(grammar, want.has) || strings.Contains(grammar, want.lacks) {
			t.Errorf("%s has the grammar %q, want %q and not %q", choice, grammar, want.has, want.lacks)
		}
	}
	for _, field := range []string{`"output_config":{"effort":"high","format":{"type":"json_schema","schema":{"type":"object"}}}`, `"output_format":{"type":"json_schema","schema":{"type":"object"}}`} {
		s.post("/v1/messages", messagesHi+","+field+"}")
		if !strings.HasPrefix(fake.last().Grammar, `root ::= "{"`) {
			t.Errorf("%s has the grammar %q", field, fake.last().Grammar)
		}
	}
}

// TestMessagesErrors checks each kind of refusal. checkContract checks that it has Anthropic's form.
func TestMessagesErrors(t *testing.T) {
	fake := newFake()
	s := serve(t, fake, func(o *Options) { o.APIKeys = func() []string { return []string{"secret"} } })
	ask := func(fields string) string {
		return `{"max_tokens":5,"messages":[{"role":"user","content":"a"}],` + fields + "}"
	}
	turns := func(messages string) string { return `{"max_tokens":5,"messages":[` + messages + "]}" }
	tests := map[string]struct {
		body   string
		status int
		kind   string
		says   string
	}{
		"no max_tokens":       {`{"messages":[{"role":"user","content":"a"}]}`, 400, "invalid_request_error", "max_tokens is missing"},
		"no messages":         {`{"max_tokens":5}`, 400, "invalid_request_error", "messages is missing"},
		"image":               {turns(`{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"aGk="}}]}`), 400, "invalid_request_error", "reads only text"},
		"image as a result":   {turns(`{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":[{"type":"image","source":{}}]}]}`), 400, "invalid_request_error", "messages[0].content[0].content[0].type is image"},
		"PDF":                 {turns(`{"role":"user","content":[{"type":"document","source":{"type":"base64","media_type":"application/pdf","data":""}}]}`), 400, "invalid_request_error", "reads only text"},
		"result without id":   {turns(`{"role":"user","content":[{"type":"tool_result","content":"a"}]}`), 400, "invalid_request_error", "messages[0].content[0].tool_use_id is missing"},
		"call by the user":    {turns(`{"role":"user","content":[{"type":"tool_use","id":"a","name":"b","input":{}}]}`), 400, "invalid_request_error", "tool_use"},
		"input not an object": {turns(`{"role":"assistant","content":[{"type":"tool_use","id":"a","name":"b","input":"c"}]}`), 400, "invalid_request_error", "input is a string"},
		"prefill of space":    {turns(`{"role":"user","content":"a"},{"role":"assistant","content":"( "}`), 400, "invalid_request_error", "final assistant content cannot end with trailing whitespace"},
		"prefill of a call":   {turns(`{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"text","text":"b"},{"type":"tool_use","id":"t","name":"f","input":{}}]}`), 400, "invalid_request_error", "ends with tool calls of the assistant"},
		"prefill of thought":  {turns(`{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"thinking","thinking":"b","signature":""}]}`), 400, "invalid_request_error", "ends with thinking of the assistant"},
		"prefill of JSON":     {`{"max_tokens":5,"output_config":{"format":{"type":"json_schema","schema":{}}},"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"{"}]}`, 400, "invalid_request_error", "output_config.format constrains whole answers"},
		"role":                {turns(`{"role":"tool","content":"a"}`), 400, "invalid_request_error", "must be user, assistant or system"},
		"choice of none":      {ask(`"tool_choice":{"type":"any"}`), 400, "invalid_request_error", "no tools"},
		"choice of a server":  {ask(`"tools":[{"type":"web_search_20250305","name":"web_search"}],"tool_choice":{"type":"tool","name":"web_search"}`), 400, "invalid_request_error", "which tools does not list"},
		"tool without input":  {ask(`"tools":[{"name":"a"}]`), 400, "invalid_request_error", "tools[0].input_schema is missing"},
		"format":              {ask(`"output_config":{"format":{"type":"json_schema","schema":{"uniqueItems":true}}}`), 400, "invalid_request_error", "output_config.format"},
		"mcp":                 {ask(`"mcp_servers":[{"type":"url"}]`), 400, "invalid_request_error", "mcp_servers is not supported"},
		"no JSON":             {`{`, 400, "invalid_request_error", "not valid JSON"},
		"another model":       {ask(`"model":"claude-haiku-4-5"`), 404, "not_found_error", "claude-haiku-4-5"},
		"too long":            {turns(`{"role":"user","content":"` + strings.Repeat("a", 300) + `"}`), 400, "invalid_request_error", "prompt is too long: 317 tokens > 256 maximum"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			for _, body := range []string{test.body, strings.Replace(test.body, "{", `{"stream":true,`, 1)} {
				if name == "no JSON" {
					body = test.body
				}
				got := s.post("/v1/messages", body, "x-api-key", "secret")
				checkMessagesError(t, got, test.status, test.kind, test.says)
			}
		})
	}
	checkMessagesError(t, s.post("/v1/messages", messagesHi+"}"), 401, "authentication_error", "API key")
	checkMessagesError(t, s.post("/v1/messages", messagesHi+"}", "x-api-key", "wrong"), 401, "authentication_error", "not valid")
	checkMessagesError(t, s.do(http.MethodGet, "/v1/messages", "", "x-api-key", "secret"), 405, "invalid_request_error", "method")
	checkMessagesError(t, s.post("/v1/messages/batches", "{}", "x-api-key", "secret"), 404, "not_found_error", "no such URL")
	checkMessagesError(t, s.post("/v1/messages", messagesHi+"}", "x-api-key", "secret", "Content-Type", "text/plain"), 415, "invalid_request_error", "application/json")
	checkMessagesError(t, s.post("/v1/messages", messagesHi+"}", "Host", "evil.example", "x-api-key", "secret"), 403, "permission_error", "allowed-hosts")
	if got := s.post("/v1/messages", messagesHi+"}", "Authorization", "Bearer secret"); got.status != 200 {
		t.Errorf("a Bearer token = %d %s", got.status, got.body)
	}
}

func checkMessagesError(t *testing.T, got reply, status int, kind, says string) {
	t.Helper()
	var body openapi.MessagesErrorBody
	got.decode(t, &body)
	if got.status != status || body.Error.Type != kind || !strings.Contains(body.Error.Message, says) {
		t.Errorf("%d %s, want %d, %s and %q", got.status, got.body, status, kind, says)
	}
	if id := got.header.Get("Request-Id"); id == "" || body.RequestID != id {
		t.Errorf("request id %q in the body, %q in the header", body.RequestID, id)
	}
}

// TestMessagesOverload covers errors after which clients retry or report the server as overloaded.
func TestMessagesOverload(t *testing.T) {
	fake := newFake()
	fake.submit = func(infer.Request) error { return infer.ErrQueueFull }
	s := serve(t, fake, func(o *Options) { o.MaxBodyBytes = 1000 })
	checkMessagesError(t, s.post("/v1/messages", messagesHi+"}"), 429, "rate_limit_error", "queue is full")
	fake.submit = func(infer.Request) error { return fmt.Errorf("%w: broken", infer.ErrEngine) }
	checkMessagesError(t, s.post("/v1/messages", messagesHi+"}"), 503, "overloaded_error", "not available")
	fake.submit = func(infer.Request) error { panic("broken") }
	checkMessagesError(t, s.post("/v1/messages", messagesHi+"}"), 500, "api_error", "internal error")
	checkMessagesError(t, s.post("/v1/messages", strings.Repeat(" ", 1001)), 413, "request_too_large", "too large")
}

// TestMessagesStreamFails covers an error after the stream has begun.
func TestMessagesStreamFails(t *testing.T) {
	fake := newFake()
	fake.panicAt = 3
	got := serve(t, fake).post("/v1/messages", messagesHi+`,"stream":true}`)
	all := events(t, got.body)
	var first, last messagesEvent
	if err := json.Unmarshal(all[0], &first); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(all[len(all)-1], &last); err != nil {
		t.Fatal(err)
	}
	if first.Type != "message_start" || last.Type != "error" || last.Error.Type != "api_error" || !strings.Contains(string(got.body), "event: error\n") {
		t.Errorf("stream %s", got.body)
	}
}

// TestMessagesStreamWaits checks that the message begins before the first token, and that pings follow until then. While the
// variant is being made, the stream has pings too.
func TestMessagesStreamWaits(t *testing.T) {
	for name, hold := range map[string]func(*fakeModels, <-chan struct{}){
		"prefill": func(m *fakeModels, ready <-chan struct{}) {
			m.wait = func(ctx context.Context, token int) error { return untilReady(ctx, ready) }
		},
		"variant": func(m *fakeModels, ready <-chan struct{}) {
			m.acquire = func(ctx context.Context, _ openapi.ModelName) error { return untilReady(ctx, ready) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			fake := newFake()
			ready := make(chan struct{})
			hold(fake, ready)
			s := serve(t, fake)
			req, err := http.NewRequest(http.MethodPost, s.url+"/v1/messages", strings.NewReader(messagesHi+`,"stream":true}`))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/json")
			res, err := s.client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			var got strings.Builder
			buffer := make([]byte, 4096)
			for strings.Count(got.String(), "event: ping\ndata: {\"type\":\"ping\"}\n\n") < 3 {
				n, err := res.Body.Read(buffer)
				got.Write(buffer[:n])
				if n == 0 && err != nil {
					t.Fatalf("%v after %q", err, got.String())
				}
			}
			if begun := strings.HasPrefix(got.String(), "event: message_start\n"); begun != (name == "prefill") {
				t.Errorf("the stream begins with message_start: %v, in %q", begun, got.String())
			}
			close(ready)
			for !strings.Contains(got.String(), "message_stop") {
				n, err := res.Body.Read(buffer)
				got.Write(buffer[:n])
				if n == 0 && err != nil {
					t.Fatalf("%v after %q", err, got.String())
				}
			}
		})
	}
}

// untilReady blocks until ready or the end of ctx, as an engine does.
func untilReady(ctx context.Context, ready <-chan struct{}) error {
	select {
	case <-ready:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// TestMessagesThinking checks that thinking is a block of its own and that requests can turn it on and off. When a client sends
// it back, it must reach the template.
func TestMessagesThinking(t *testing.T) {
	fake := newFake()
	fake.template = thinks
	fake.context = 4096
	fake.answer = func(infer.Request) string { return "<think>\nHm, größer.\n</think>\n\nYes." }
	s := serve(t, fake)
	var plain openapi.MessagesResponse
	s.post("/v1/messages", messagesHi+"}").decode(t, &plain)
	streamed := assemble(t, s.post("/v1/messages", messagesHi+`,"stream":true}`))
	for name, got := range map[string]openapi.MessagesResponse{"plain": plain, "stream": streamed} {
		if len(got.Content) != 2 || got.Content[0].Type != openapi.BlockThinking || *got.Content[0].Thinking != "Hm, größer." ||
			*got.Content[0].Signature != got.ID || outline(got) != "end_turn: Yes." || got.Usage.OutputDetails.ThinkingTokens == 0 {
			t.Errorf("%s: %+v", name, got)
		}
	}
	var hidden openapi.MessagesResponse
	s.post("/v1/messages", messagesHi+`,"thinking":{"type":"adaptive","display":"omitted"}}`).decode(t, &hidden)
	if len(hidden.Content) != 1 || outline(hidden) != "end_turn: Yes." {
		t.Errorf("without thinking: %+v", hidden.Content)
	}
	for thinking, want := range map[string]int{`{"type":"enabled","budget_tokens":9}`: 9, `{"type":"enabled"}`: -1, `{"type":"disabled"}`: 0, `{"type":"adaptive"}`: -1} {
		s.post("/v1/messages", messagesHi+`,"thinking":`+thinking+"}")
		if got := fake.last().Thinking.Budget; got != want {
			t.Errorf("%s has a budget of %d, want %d", thinking, got, want)
		}
	}
	s.post("/v1/messages", `{"max_tokens":5,"output_config":{"effort":"high"},"messages":[{"role":"user","content":"a"},
		{"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":"x"},{"type":"redacted_thinking","data":"y"},{"type":"text","text":"b"}]},{"role":"user","content":"c"}]}`)
	if prompt, want := text(&fakeVariant{}, fake.last().Prompt), "<s>user:a<|end|>assistant:<think>hm</think>b<|end|>user:c<|end|>assistant:high"; prompt != want {
		t.Errorf("prompt %q, want %q", prompt, want)
	}
}

// TestMessagesUpdates checks the updates for clients that do not count pings as events. They end with the first block.
func TestMessagesUpdates(t *testing.T) {
	var sent bytes.Buffer
	out := eventStream{w: bufio.NewWriter(&sent), dialect: anthropic}
	w := newMessageWriter("tiny", fakeChat(t, toolsHermes).Parser(&openapi.Turn{ToolChoice: openapi.ToolChoice{Mode: openapi.ToolsNone}}, nil),
		func(e openapi.MessagesEvent) error { return out.named(e.Type, e) })
	w.out = out
	idle := func() (updates, pings int) {
		sent.Reset()
		for range 2 * pingsPerUpdate {
			if err := w.idle(); err != nil {
				t.Fatal(err)
			}
		}
		return strings.Count(sent.String(), "event: message_delta\n"), strings.Count(sent.String(), "event: ping\n")
	}
	if updates, pings := idle(); updates != 2 || pings != 2*pingsPerUpdate {
		t.Errorf("%d updates and %d pings before the answer, want 2 and %d", updates, pings, 2*pingsPerUpdate)
	}
	if err := w.chunk(0, infer.Chunk{Text: "a"}); err != nil {
		t.Fatal(err)
	}
	if updates, _ := idle(); updates != 0 {
		t.Errorf("%d updates after the first block, want none", updates)
	}
}
