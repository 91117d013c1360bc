package server

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"prunellm/infer"
	"prunellm/openapi"
)

const (
	weather = `"tools":[{"type":"function","function":{"name":"weather","description":"Of a place","parameters":{"type":"object","properties":{"place":{"type":"string"}}}}},
		{"type":"function","function":{"name":"time"}}]`
	twoCalls = "<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"place\": \"K\\u00f6ln }\\\"\"}}\n</tool_call>\n" +
		"<tool_call>\n{\"name\": \"time\", \"arguments\": {}}\n</tool_call>"
)

// jsonFormat requests answers in JSON.
const jsonFormat = `,"response_format":{"type":"json_object"}`

// call is a tool call without its id.
type call struct{ Name, Arguments string }

func callsOf(t *testing.T, calls []openapi.ToolCall) []call {
	t.Helper()
	var out []call
	ids := map[string]bool{}
	for _, c := range calls {
		if ids[c.ID] || c.Type != "function" {
			t.Errorf("call %+v: duplicate id, or no function", c)
		}
		ids[c.ID] = true
		out = append(out, call{c.Function.Name, c.Function.Arguments})
	}
	return out
}

func TestToolCalls(t *testing.T) {
	weatherCall, timeCall := call{"weather", `{"place": "K\u00f6ln }\""}`}, call{"time", "{}"}
	tests := []struct {
		name, answer, fields string
		template             string
		content              string // "null" for none
		calls                []call
		finish               string
	}{
		{"text", "a <b> <tool", "", toolsUnknown, "a <b> <tool", nil, "stop"},
		{"one", "<tool_call>\n{\"name\": \"time\", \"arguments\": {}}\n</tool_call>", "", toolsUnknown, "null", []call{timeCall}, "tool_calls"},
		{"several", twoCalls, "", toolsHermes, "null", []call{weatherCall, timeCall}, "tool_calls"},
		{"after text", "Let me see.\n" + twoCalls, "", toolsHermes, "Let me see.\n", []call{weatherCall, timeCall}, "tool_calls"},
		{"after white space", "\n\n" + twoCalls, "", toolsHermes, "null", []call{weatherCall, timeCall}, "tool_calls"},
		{"Llama", `{"name": "weather", "parameters": {"place": "Rome"}}`, "", toolsLlama, "null", []call{{"weather", `{"place": "Rome"}`}}, "tool_calls"},
		{"Llama's text", `It is {late}`, "", toolsLlama, "It is {late}", nil, "stop"},
		{"cut off", twoCalls, `,"max_tokens":60`, toolsHermes, "null", []call{{"weather", `{"place": "K\u0`}}, "length"},
		{"cut off by a stop string", twoCalls[:60], `,"stop":"zzz"`, toolsHermes, "null", []call{{"weather", `{"place": "K\u0`}}, "stop"},
		{"cut off after a whole call", twoCalls[:strings.LastIndex(twoCalls, "arguments")], "", toolsHermes, "null", []call{weatherCall}, "tool_calls"},
		{"Llama's, cut off", `{"name": "weather", "parameters": {"pl`, "", toolsLlama, "null", []call{{"weather", `{"pl`}}, "stop"},
		{"Llama's call after white space", "\n {\"name\": \"time\", \"parameters\": {}}", "", toolsLlama, "null", []call{timeCall}, "tool_calls"},
		{"Llama's text after white space", "\n It is {late}", "", toolsLlama, "\n It is {late}", nil, "stop"},
		{"Llama's, only white space", " \n", "", toolsLlama, " \n", nil, "stop"},
		{"Llama's JSON that is no call", " {\"answer\": \"yes\"}", "", toolsLlama, " {\"answer\": \"yes\"}", nil, "stop"},
		{"Llama's JSON in a format", `{"answer": "yes"}`, jsonFormat, toolsLlama, `{"answer": "yes"}`, nil, "stop"},
		{"Llama's JSON, cut off", `{"na`, jsonFormat, toolsLlama, `{"na`, nil, "stop"},
		{"Llama's JSON with a name", `{"name": "Rome", "parameters": {}}`, jsonFormat, toolsLlama, `{"name": "Rome", "parameters": {}}`, nil, "stop"},
		{"Llama's JSON with a tool's name", `{"name": "time", "of": "day"}`, jsonFormat, toolsLlama, `{"name": "time", "of": "day"}`, nil, "stop"},
		{"Llama's call with a format", `{"name": "time", "parameters": {}}`, jsonFormat, toolsLlama, "null", []call{timeCall}, "tool_calls"},
		{"marker in a format's JSON", `{"answer": "a <tool_call> b"}`, jsonFormat, toolsHermes, `{"answer": "a <tool_call> b"}`, nil, "stop"},
		{"call with a format", twoCalls, jsonFormat, toolsHermes, "null", []call{weatherCall, timeCall}, "tool_calls"},
		{"marker without a call", "a <tool_call> b", "", toolsHermes, "a <tool_call> b", nil, "stop"},
		{"marker cut off by the limit", twoCalls, `,"max_tokens":5`, toolsHermes, "", nil, "length"},
		{"marker cut off by the limit, after text", "Let me see.\n" + twoCalls, `,"max_tokens":17`, toolsHermes, "Let me see.\n", nil, "length"},
		{"marker cut off by a stop string", "<tool", `,"stop":"_call"`, toolsHermes, "", nil, "stop"},
		{"Llama's call cut off before its arguments", `{"name": "weather", "parameters": {}}`, `,"max_tokens":9`, toolsLlama, "", nil, "length"},
		{"less than at the limit", "if a < b", `,"max_tokens":6`, toolsHermes, "if a <", nil, "length"},
		{"without marker", `{"name": "time", "arguments": {}}`, "", toolsHermes, "null", []call{timeCall}, "tool_calls"},
		{"without marker, in a fence", "```json\n{\"name\": \"time\", \"arguments\": {}}\n```", "", toolsUnknown, "null", []call{timeCall}, "tool_calls"},
		{"without marker, cut off by the limit", `{"name": "time", "arguments": {}}`, `,"max_tokens":9`, toolsHermes, "", nil, "length"},
		{"without marker, with a format", `{"name": "time", "arguments": {}}`, jsonFormat, toolsHermes, `{"name": "time", "arguments": {}}`, nil, "stop"},
		{"JSON in a fence", "```json\n{\"name\": \"Rome\"}\n```", "", toolsHermes, "```json\n{\"name\": \"Rome\"}\n```", nil, "stop"},
		{"none", twoCalls, `,"tool_choice":"none"`, toolsHermes, twoCalls, nil, "stop"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			fake := newFake()
			fake.context = 4096
			fake.template = test.template
			fake.answer = func(infer.Request) string { return test.answer }
			s := serve(t, fake)
			body := `{"messages":[{"role":"user","content":"Hi"}],` + weather + test.fields
			var chat openapi.ChatResponse
			whole := s.post("/v1/chat/completions", body+`,"logprobs":true}`)
			whole.decode(t, &chat)
			content := "null"
			if chat.Choices[0].Message.Content != nil {
				content = *chat.Choices[0].Message.Content
			}
			if content != test.content || chat.Choices[0].FinishReason != test.finish {
				t.Errorf("content %q, finish %s, want %q, %s", content, chat.Choices[0].FinishReason, test.content, test.finish)
			}
			if diff := cmp.Diff(test.calls, callsOf(t, chat.Choices[0].Message.ToolCalls)); diff != "" {
				t.Errorf("calls differ (-want +got):\n%s", diff)
			}
			stream := s.post("/v1/chat/completions", body+`,"stream":true,"logprobs":true}`)
			if first := events(t, stream.body)[0]; test.content == "null" != bytes.Contains(first, []byte(`"delta":{"role":"assistant","content":null}`)) {
				t.Errorf("the stream begins with %s", first)
			}
			if got, want := bytes.Count(stream.body, []byte(`"logprob":`)), bytes.Count(whole.body, []byte(`"logprob":`)); got != want {
				t.Errorf("the stream has %d tokens, want %d", got, want)
			}
			text, calls, finish := joined(t, stream)
			if text != strings.TrimPrefix(test.content, "null") || finish != test.finish {
				t.Errorf("stream: content %q, finish %s", text, finish)
			}
			if diff := cmp.Diff(test.calls, callsOf(t, calls)); diff != "" {
				t.Errorf("streamed calls differ (-want +got):\n%s", diff)
			}
		})
	}
}

// joined joins a stream's deltas as clients do.
func joined(t *testing.T, got reply) (text string, calls []openapi.ToolCall, finish string) {
	t.Helper()
	for _, event := range events(t, got.body) {
		var chunk openapi.ChatChunk
		if err := json.Unmarshal(event, &chunk); err != nil {
			t.Fatal(err)
		}
		for _, choice := range chunk.Choices {
			if choice.Delta.Content != nil {
				text += **choice.Delta.Content
			}
			for _, delta := range choice.Delta.ToolCalls {
				if delta.Index == len(calls) {
					calls = append(calls, openapi.ToolCall{ID: delta.ID, Type: delta.Type, Function: openapi.FunctionCall{Name: delta.Function.Name}})
				}
				calls[delta.Index].Function.Arguments += delta.Function.Arguments
			}
			if choice.FinishReason != nil {
				finish = *choice.FinishReason
			}
		}
	}
	return text, calls, finish
}

func TestAnswerGrammar(t *testing.T) {
	fake := newFake()
	fake.context = 4096
	s := serve(t, fake)
	grammar := func(fields string) string {
		t.Helper()
		if got := s.post("/v1/chat/completions", `{"messages":[{"role":"user","content":"Hi"}]`+fields+`}`); got.status != 200 {
			t.Fatalf("%s: %d %s", fields, got.status, got.body)
		}
		return fake.last().Grammar
	}
	tests := []struct {
		fields    string
		has, lack []string
	}{
		{``, nil, []string{"root"}},
		{`,` + weather + `,"tool_choice":"none"`, nil, []string{"root"}},
		{`,"grammar":"root ::= \"a\""`, []string{`root ::= "a"`}, nil},
		{`,"response_format":{"type":"json_object"}`, []string{"root ::= "}, []string{"call"}},
		{`,` + weather, []string{"root ::= begin\n", "text-0 ::= ", "call ::= call-0 | call-1\n", "arguments-1-root ::= ", "{0,15}", `\"name\": \"weather\"`}, nil},
		{`,` + weather + `,"parallel_tool_calls":false`, []string{"more ::= \"\"\n"}, []string{"{0,15}"}},
		{`,` + weather + `,"tool_choice":"required"`, []string{"root ::= calls\n"}, []string{"text-0"}},
		{`,` + weather + `,"tool_choice":{"type":"function","function":{"name":"time"}}`, []string{"call ::= call-1\n", "more ::= \"\"\n"}, []string{"call-0", "weather"}},
		{`,"tools":[{"type":"function","function":{"name":"time","parameters":{}}}]`, []string{"arguments-0-value ::= "}, []string{`"5"`}},
		{`,"tools":[{"type":"function","function":{"name":"time","parameters":{"title":"A"}}}]`, []string{"arguments-0-value ::= "}, []string{`"5"`}},
		{`,` + weather + `,"response_format":{"type":"json_object"}`, []string{"root ::= calls | format-root\n", "format-value ::= "}, []string{"text-0"}},
	}
	for _, test := range tests {
		got := grammar(test.fields)
		for _, want := range test.has {
			if !strings.Contains(got, want) {
				t.Errorf("grammar for %s lacks %q:\n%s", test.fields, want, got)
			}
		}
		for _, unwanted := range test.lack {
			if strings.Contains(got, unwanted) {
				t.Errorf("grammar for %s has %q:\n%s", test.fields, unwanted, got)
			}
		}
	}
}

// TestToolDescriptionsHaveNoHTMLEscapes checks the text of a tool's description in the prompt.
func TestToolDescriptionsHaveNoHTMLEscapes(t *testing.T) {
	fake := newFake()
	fake.context = 4096
	var out openapi.ApplyTemplateResponse
	serve(t, fake).post("/apply-template", `{"messages":[{"role":"user","content":"Hi"}],"tools":[{"type":"function","function":{"name":"f","description":"a <b> & c","parameters":{"type":"object","description":"\u003ci>"}}}]}`).decode(t, &out)
	for _, want := range []string{`"description":"a <b> & c"`, `"description":"<i>"`} {
		if !strings.Contains(out.Prompt, want) {
			t.Errorf("the prompt lacks %s: %q", want, out.Prompt)
		}
	}
}

// TestToolPrompt checks the prompt of a template that supports tools and of one that does not.
func TestToolPrompt(t *testing.T) {
	const history = `"messages":[{"role":"user","content":"Hi"},{"role":"assistant","tool_calls":[{"id":"call_1","type":"function","function":{"name":"time","arguments":"{}"}}]},
		{"role":"tool","tool_call_id":"call_1","content":"noon"},{"role":"tool","tool_call_id":"call_2","content":"late"}]`
	render := func(template, fields string) string {
		fake := newFake()
		fake.context = 4096
		fake.template = template
		var out openapi.ApplyTemplateResponse
		serve(t, fake).post("/apply-template", `{`+history+fields+`}`).decode(t, &out)
		return out.Prompt
	}
	if got, want := render(toolsHermes, ","+weather), "<s>tool:weather<|end|>tool:time<|end|>user:Hi<|end|>assistant:<|end|>tool:noon<|end|>tool:late<|end|>assistant:"; got != want {
		t.Errorf("prompt of the template's own format = %q, want %q", got, want)
	}
	const told = "user:Hi<|end|>assistant:<tool_call>\n{\"name\": \"time\", \"arguments\": {}}\n</tool_call><|end|>" +
		"user:<tool_response>\nnoon\n</tool_response>\n<tool_response>\nlate\n</tool_response><|end|>assistant:"
	if got := render(toolsUnknown, ""); got != "<s>"+told {
		t.Errorf("prompt without tools = %q, want %q", got, "<s>"+told)
	}
	got := render(toolsUnknown, ","+weather)
	if !strings.HasPrefix(got, "<s>system:# Tools") || !strings.Contains(got, `"description":"Of a place"`) || !strings.HasSuffix(got, told) {
		t.Errorf("prompt with described tools = %q", got)
	}
}
