package server

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/openai/openai-go/v3/option"

	"prunellm/infer"
	"prunellm/openapi"
)

// Chat templates of the fake whose models think: one that turns thinking off, and one that always begins it.
const (
	thinks = "<s>{% for m in messages %}{{ m.role }}:{% if m.reasoning_content %}<think>{{ m.reasoning_content }}</think>{% endif %}{{ m.content }}<|end|>{% endfor %}" +
		"assistant:{% if enable_thinking is defined and not enable_thinking %}<think></think>{% endif %}{{ reasoning_effort }}"
	opensThinking = "<s>{% for m in messages %}{{ m.role }}:{{ m.content }}<|end|>{% endfor %}assistant:<think>"
)

// thoughtful is a message, streamed or not.
type thoughtful struct{ Reasoning, Content, Finish string }

// chatOf reads a chat's only choice, streamed or not. Both names of reasoning must have the same text.
func chatOf(t *testing.T, s *testServer, fields string, stream bool) (thoughtful, openapi.Usage) {
	t.Helper()
	body := `{` + hi + fields
	if !stream {
		var chat openapi.ChatResponse
		got := s.post("/v1/chat/completions", body+"}")
		if got.decode(t, &chat); got.status != 200 {
			t.Fatalf("status %d, body %s", got.status, got.body)
		}
		m := chat.Choices[0].Message
		if m.ReasoningContent != m.ReasoningText {
			t.Errorf("reasoning_content %q, reasoning %q", m.ReasoningContent, m.ReasoningText)
		}
		out := thoughtful{Reasoning: m.ReasoningContent, Finish: chat.Choices[0].FinishReason}
		if m.Content != nil {
			out.Content = *m.Content
		}
		return out, chat.Usage
	}
	got := s.post("/v1/chat/completions", body+`,"stream":true,"stream_options":{"include_usage":true}}`)
	var out thoughtful
	var usage openapi.Usage
	for _, raw := range events(t, got.body) {
		var chunk struct {
			Choices []struct {
				Delta  struct{ Content, Reasoning, Reasoning_content string }
				Finish string `json:"finish_reason"`
			}
			Usage *openapi.Usage
		}
		if err := json.Unmarshal(raw, &chunk); err != nil {
			t.Fatal(err)
		}
		for _, c := range chunk.Choices {
			if c.Delta.Reasoning != c.Delta.Reasoning_content || c.Delta.Reasoning != "" && c.Delta.Content != "" {
				t.Errorf("delta %s", raw)
			}
			if out.Content != "" && c.Delta.Reasoning != "" {
				t.Errorf("reasoning after the answer began: %s", raw)
			}
			out.Reasoning, out.Content, out.Finish = out.Reasoning+c.Delta.Reasoning, out.Content+c.Delta.Content, out.Finish+c.Finish
		}
		if chunk.Usage != nil {
			usage = *chunk.Usage
		}
	}
	return out, usage
}

func TestReasoning(t *testing.T) {
	const answer = "<think>\nHm, größer.\n</think>\n\nYes."
	for _, test := range []struct {
		name, template, answer, fields string
		want                           thoughtful
		tokens                         int
	}{
		{"thinking", thinks, answer, "", thoughtful{"Hm, größer.", "Yes.", "stop"}, len(answer) - len("Yes.")},
		{"none", thinks, "Yes.", "", thoughtful{"", "Yes.", "stop"}, 0},
		{"empty thinking", thinks, "<think>\n\n</think>\n\nYes.", "", thoughtful{"", "Yes.", "stop"}, 19},
		{"begun by the template", opensThinking, "Hm.\n</think>\n\nYes.", "", thoughtful{"Hm.", "Yes.", "stop"}, 14},
		{"template without marks", toolsUnknown, answer, "", thoughtful{"Hm, größer.", "Yes.", "stop"}, len(answer) - len("Yes.")},
		{"never closed", opensThinking, "Hm, hm, hm, hm", `,"max_tokens":8`, thoughtful{"Hm, hm,", "", "length"}, 8},
		{"not closed at the end", opensThinking, "Hm", "", thoughtful{"Hm", "", "stop"}, 2},
		{"left out", thinks, answer, `,"include_reasoning":false`, thoughtful{"", "Yes.", "stop"}, len(answer) - len("Yes.")},
	} {
		t.Run(test.name, func(t *testing.T) {
			fake := newFake()
			fake.template, fake.context = test.template, 4096
			fake.answer = func(infer.Request) string { return test.answer }
			s := serve(t, fake)
			for _, stream := range []bool{false, true} {
				got, usage := chatOf(t, s, test.fields, stream)
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Errorf("stream %t differs (-want +got):\n%s", stream, diff)
				}
				if got := usage.CompletionTokensDetails.ReasoningTokens; got != test.tokens {
					t.Errorf("stream %t: %d reasoning tokens of %d, want %d", stream, got, usage.CompletionTokens, test.tokens)
				}
			}
		})
	}
}

// TestReasoningCutOff cuts answers off at every token. No part of a marker may reach the client, with and without tools.
func TestReasoningCutOff(t *testing.T) {
	const answer = "<think>\nHm.\n</think>\n\nYes."
	fake := newFake()
	fake.template, fake.context = thinks, 8192
	fake.answer = func(infer.Request) string { return answer }
	s := serve(t, fake)
	for limit := 1; limit <= len(answer); limit++ {
		for _, tools := range []string{"", "," + weather} {
			for _, stream := range []bool{false, true} {
				got, usage := chatOf(t, s, fmt.Sprintf(`,"max_tokens":%d%s`, limit, tools), stream)
				if !strings.HasPrefix("Hm.", got.Reasoning) || !strings.HasPrefix("Yes.", got.Content) || got.Finish != "length" || usage.CompletionTokens != limit {
					t.Errorf("limit %d, stream %t: %+v, %+v", limit, stream, got, usage)
				}
			}
		}
	}
}

// TestReasoningAndCalls checks that calls are parsed after the thinking but not inside it.
func TestReasoningAndCalls(t *testing.T) {
	fake := newFake()
	fake.template, fake.context = "{# <think> </think> #}"+toolsHermes, 8192
	fake.answer = func(infer.Request) string { return "<think>I call <tool_call>.</think>\n\n" + twoCalls }
	s := serve(t, fake)
	var chat openapi.ChatResponse
	s.post("/v1/chat/completions", `{`+hi+`,`+weather+`}`).decode(t, &chat)
	got := chat.Choices[0]
	if got.Message.ReasoningContent != "I call <tool_call>." || got.Message.Content != nil || len(got.Message.ToolCalls) != 2 || got.FinishReason != "tool_calls" {
		t.Errorf("choice %+v", got)
	}
	if r := fake.last(); r.Grammar == "" || r.Thinking.End != "</think>" {
		t.Errorf("grammar %q, thinking %+v", r.Grammar, r.Thinking)
	}
	got2, _ := chatOf(t, s, ","+weather, true)
	if got2.Reasoning != "I call <tool_call>." || got2.Content != "" || got2.Finish != "tool_calls" {
		t.Errorf("stream %+v", got2)
	}
}

// A model may think although its template has no markers, unless a grammar constrains the answer. The grammar allows only few
// first tokens, which would make a marker likely that the model never learned.
func TestGrammarWithoutMarks(t *testing.T) {
	const schema = `,"response_format":{"type":"json_schema","json_schema":{"name":"x","schema":{"type":"object"}}}`
	for _, test := range []struct {
		template, fields string
		thinks           bool
	}{
		{toolsHermes, "", true}, {toolsHermes, schema, false}, {toolsHermes, "," + weather, false}, {thinks, schema, true}, {opensThinking, schema, true},
	} {
		fake := newFake()
		fake.template, fake.context = test.template, 8192
		if got := serve(t, fake).post("/v1/chat/completions", `{`+hi+test.fields+`}`); got.status != 200 {
			t.Fatalf("status %d, body %s", got.status, got.body)
		}
		if r := fake.last(); (r.Thinking.End != "") != test.thinks || (r.Grammar != "") != (test.fields != "") {
			t.Errorf("%.20q with %.20q: grammar %.20q, thinking %+v, want thinking: %t", test.template, test.fields, r.Grammar, r.Thinking, test.thinks)
		}
	}
}

// TestThinkingAsked checks how a request's settings change the prompt and the budget.
func TestThinkingAsked(t *testing.T) {
	number := func(n int) *int { return &n }
	for _, test := range []struct {
		name, template, fields string
		server                 openapi.Thinking
		prompt                 string // its end
		budget                 int
		open                   bool
	}{
		{"nothing", thinks, "", openapi.Thinking{}, "assistant:", -1, false},
		{"on", thinks, `,"enable_thinking":true`, openapi.Thinking{}, "assistant:", -1, false},
		{"off", thinks, `,"enable_thinking":false`, openapi.Thinking{}, "assistant:<think></think>", 0, false},
		{"off in the template's words", thinks, `,"chat_template_kwargs":{"enable_thinking":false}`, openapi.Thinking{}, "assistant:<think></think>", 0, false},
		{"no effort", thinks, `,"reasoning_effort":"none"`, openapi.Thinking{}, "assistant:<think></think>none", 0, false},
		{"no effort, but on", thinks, `,"reasoning_effort":"none","enable_thinking":true`, openapi.Thinking{}, "assistant:none", -1, false},
		{"off, but on in the template's words", thinks, `,"enable_thinking":false,"chat_template_kwargs":{"enable_thinking":true}`, openapi.Thinking{}, "assistant:", -1, false},
		{"little effort", thinks, `,"reasoning_effort":"low"`, openapi.Thinking{}, "assistant:low", -1, false},
		{"effort in the template's words", thinks, `,"reasoning_effort":"low","chat_template_kwargs":{"reasoning_effort":"huge"}`, openapi.Thinking{}, "assistant:huge", -1, false},
		{"a variable", "{{ x.y }}" + thinks + "{{ x }}", `,"chat_template_kwargs":{"x":{"y":[1,"a"]}}`, openapi.Thinking{}, "assistant:{'y': [1, 'a']}", -1, false},
		{"budget", thinks, `,"thinking_budget_tokens":7`, openapi.Thinking{}, "assistant:", 7, false},
		{"vLLM's budget", thinks, `,"thinking_token_budget":7`, openapi.Thinking{}, "assistant:", 7, false},
		{"two budgets that agree", thinks, `,"reasoning_budget":7,"reasoning_budget_tokens":7`, openapi.Thinking{}, "assistant:", 7, false},
		{"no budget", thinks, `,"reasoning_budget":0`, openapi.Thinking{}, "assistant:<think></think>", 0, false},
		{"any budget", thinks, `,"reasoning_budget":-1`, openapi.Thinking{Budget: number(9)}, "assistant:", -1, false},
		{"the server's budget", thinks, "", openapi.Thinking{Budget: number(9)}, "assistant:", 9, false},
		{"off by the server", thinks, "", openapi.Thinking{Enabled: new(bool)}, "assistant:<think></think>", 0, false},
		{"off by the server, but on", thinks, `,"enable_thinking":true`, openapi.Thinking{Enabled: new(bool)}, "assistant:", -1, false},
		{"off by the server, but some effort", thinks, `,"reasoning_effort":"low"`, openapi.Thinking{Enabled: new(bool), Budget: number(0)}, "assistant:low", -1, false},
		{"off by the server, but a budget", thinks, `,"reasoning_budget":5`, openapi.Thinking{Enabled: new(bool), Budget: number(0)}, "assistant:", 5, false},
		{"no budget of the server, but on", thinks, `,"enable_thinking":true`, openapi.Thinking{Enabled: new(bool), Budget: number(0)}, "assistant:", -1, false},
		{"always begun", opensThinking, "", openapi.Thinking{}, "assistant:<think>", -1, true},
		{"always begun, off", opensThinking, `,"reasoning_effort":"none"`, openapi.Thinking{}, "assistant:<think>", 0, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			fake := newFake()
			fake.template = test.template
			s := serve(t, fake, func(o *Options) { o.Thinking = test.server })
			if got := s.post("/v1/chat/completions", `{`+hi+test.fields+`}`); got.status != 200 {
				t.Fatalf("status %d, body %s", got.status, got.body)
			}
			r := fake.last()
			if got := text(&fakeVariant{}, r.Prompt); !strings.HasSuffix(got, test.prompt) || r.Thinking.Budget != test.budget || r.Thinking.Open != test.open {
				t.Errorf("prompt %q, thinking %+v, want the end %q, budget %d, open %t", got, r.Thinking, test.prompt, test.budget, test.open)
			}
			var applied openapi.ApplyTemplateResponse
			s.post("/apply-template", `{`+hi+test.fields+`}`).decode(t, &applied)
			if got := text(&fakeVariant{}, r.Prompt); !strings.HasSuffix(applied.Prompt, test.prompt) && test.server.Enabled == nil {
				t.Errorf("applied %q, chat %q", applied.Prompt, got)
			}
		})
	}
}

func TestThinkingRefused(t *testing.T) {
	s := serve(t, newFake())
	kwargs := `,"chat_template_kwargs":`
	for fields, param := range map[string]string{
		kwargs + `[]`: "chat_template_kwargs", kwargs + `{"messages":[]}`: "chat_template_kwargs", kwargs + `{"tools":null}`: "chat_template_kwargs",
		kwargs + `{"add_generation_prompt":false}`: "chat_template_kwargs", kwargs + `{"bos_token":""}`: "chat_template_kwargs",
		kwargs + `{"raise_exception":1}`: "chat_template_kwargs", kwargs + `{"range":1}`: "chat_template_kwargs",
		kwargs + `{"a b":1}`: "chat_template_kwargs", kwargs + `{"":1}`: "chat_template_kwargs", kwargs + `{"x":"\u0000"}`: "chat_template_kwargs",
		kwargs + `{"x":"` + strings.Repeat("x", 1<<16) + `"}`: "chat_template_kwargs", kwargs + `{"enable_thinking":"no"}`: "chat_template_kwargs.enable_thinking",
		kwargs + `{` + strings.Repeat(`"a%d":1,`, 65) + `"b":1}`: "chat_template_kwargs",
		`,"enable_thinking":1`: "enable_thinking", `,"reasoning_effort":"<|end|>"`: "reasoning_effort", `,"reasoning_effort":3`: "reasoning_effort",
		`,"thinking_budget_tokens":-2`: "thinking_budget_tokens", `,"thinking_budget_tokens":1.5`: "thinking_budget_tokens",
		`,"thinking_budget_tokens":1,"reasoning_budget":2`: "reasoning_budget",
		`,"reasoning_format":"none"`:                       "reasoning_format", `,"include_reasoning":1`: "include_reasoning",
	} {
		for i := 0; strings.Contains(fields, "%d"); i++ {
			fields = strings.Replace(fields, "%d", fmt.Sprint(i), 1)
		}
		for _, path := range []string{"/v1/chat/completions", "/v1/responses", "/apply-template"} {
			start := hi
			if path == "/v1/responses" {
				start = `"input":"Hi"`
			}
			got := s.post(path, `{`+start+fields+`}`)
			var body openapi.ErrorBody
			got.decode(t, &body)
			if got.status != 400 || body.Error == nil || body.Error.Param == nil || *body.Error.Param != param {
				t.Errorf("%s %.60s: status %d, body %s, want %s refused", path, fields, got.status, got.body, param)
			}
		}
	}
}

// TestReasoningInHistory checks that earlier thinking reaches the template, in both of OpenAI's APIs and under both names.
func TestReasoningInHistory(t *testing.T) {
	fake := newFake()
	fake.template, fake.context = thinks, 4096
	s := serve(t, fake)
	for path, bodies := range map[string][]string{
		"/v1/chat/completions": {
			`{"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":"Yes","reasoning_content":"Hm"},{"role":"user","content":"So?"}]}`,
			`{"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":"Yes","reasoning":"Hm"},{"role":"user","content":"So?"}]}`,
		},
		"/v1/responses": {
			`{"input":[{"role":"user","content":"Hi"},{"type":"reasoning","id":"rs_1","summary":[],"content":[{"type":"reasoning_text","text":"Hm"}]},
				{"role":"assistant","content":[{"type":"output_text","text":"Yes"}]},{"role":"user","content":"So?"}]}`,
		},
	} {
		for _, body := range bodies {
			got := s.post(path, body)
			if prompt := text(&fakeVariant{}, fake.last().Prompt); got.status != 200 || !strings.HasSuffix(prompt, "assistant:<think>Hm</think>Yes<|end|>user:So?<|end|>assistant:") {
				t.Errorf("%s: status %d, prompt %q", body, got.status, prompt)
			}
		}
	}
	// A message with only reasoning is a turn, but reasoning at the end of the input is not.
	got := s.post("/v1/chat/completions", `{"messages":[{"role":"user","content":"Hi"},{"role":"assistant","reasoning":"Hm"},{"role":"user","content":"So?"}]}`)
	if prompt := text(&fakeVariant{}, fake.last().Prompt); got.status != 200 || !strings.Contains(prompt, "<think>Hm</think><|end|>user:So?") {
		t.Errorf("status %d, prompt %q", got.status, prompt)
	}
	got = s.post("/v1/responses", `{"input":[{"type":"reasoning","id":"rs_1","summary":[],"content":[{"type":"reasoning_text","text":"Hm"}]},{"role":"user","content":"So?"}]}`)
	if prompt := text(&fakeVariant{}, fake.last().Prompt); got.status != 200 || strings.Contains(prompt, "Hm") {
		t.Errorf("status %d, prompt %q", got.status, prompt)
	}
	for _, body := range []string{`{"messages":[{"role":"assistant","content":"a","reasoning":"\u0000"}]}`, `{"messages":[{"role":"assistant","content":"a","reasoning_content":[]}]}`} {
		if got := s.post("/v1/chat/completions", body); got.status != 400 {
			t.Errorf("%s: status %d", body, got.status)
		}
	}
}

// TestReasoningItems checks that reasoning is an item of its own in responses.
func TestReasoningItems(t *testing.T) {
	for _, test := range []struct{ answer, fields, want string }{
		{"<think>Hm.</think>\n\nYes.", "", "completed: completed rs_ Hm., completed Yes."},
		{"<think>Hm, hm", `,"max_output_tokens":10`, "incomplete: incomplete rs_ Hm,"},
		{"<think>Hm.</think>", "", "completed: completed rs_ Hm."},
		{"<think>Hm.</think>" + twoCalls, "," + weatherFlat, `completed: completed rs_ Hm., completed weather{"place": "K\u00f6ln }\""}, completed time{}`},
	} {
		fake := newFake()
		fake.template, fake.context = thinks, 4096
		fake.answer = func(infer.Request) string { return test.answer }
		s := serve(t, fake)
		body := `{"input":"Hi","reasoning":{"effort":"low"}` + test.fields
		var plain openapi.Response
		s.post("/v1/responses", body+"}").decode(t, &plain)
		last := checkEvents(t, s.post("/v1/responses", body+`,"stream":true}`))
		if got, streamed := shape(plain), shape(*last); got != test.want || streamed != test.want {
			t.Errorf("%q, stream %q, want %q", got, streamed, test.want)
		}
		if plain.Usage.OutputDetails.ReasoningTokens == 0 || *plain.Reasoning.Effort != "low" {
			t.Errorf("usage %+v, reasoning %+v", plain.Usage, plain.Reasoning)
		}
	}
}

// TestOfficialClientReasoning reads the reasoning as clients do whose library lacks its names.
func TestOfficialClientReasoning(t *testing.T) {
	fake := newFake()
	fake.template = thinks
	fake.answer = func(infer.Request) string { return "<think>Hm.</think>\n\nYes." }
	client := officialClient(serve(t, fake), "sk-test")
	chat, err := client.Chat.Completions.New(t.Context(), chatParams("Hi"), option.WithJSONSet("chat_template_kwargs", map[string]bool{"enable_thinking": true}))
	if err != nil {
		t.Fatal(err)
	}
	m := chat.Choices[0].Message
	if m.Content != "Yes." || m.JSON.ExtraFields["reasoning_content"].Raw() != `"Hm."` || m.JSON.ExtraFields["reasoning"].Raw() != `"Hm."` || chat.Usage.CompletionTokensDetails.ReasoningTokens != 20 {
		t.Errorf("message %s, usage %s", m.RawJSON(), chat.Usage.RawJSON())
	}
}
