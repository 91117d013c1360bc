package server

import (
	"encoding/json"
	"testing"

	"prunellm/infer"
	"prunellm/openapi"
)

const begun = `"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":"Hel"}]`

// TestOpenings checks how the prompts of chats end. /apply-template must return the same prompts.
func TestOpenings(t *testing.T) {
	fake := newFake()
	fake.answer = func(infer.Request) string { return "lo" }
	s := serve(t, fake)
	const turn, within, behind = "<|end|>assistant:", "", "<|end|>"
	const callsTool = `"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":"Hel","tool_calls":[{"id":"c","function":{"name":"f","arguments":"{}"}}]}]`
	for _, test := range []struct{ fields, want string }{
		{begun, "Hel" + within},
		{begun + `,"continue_final_message":null,"add_generation_prompt":null`, "Hel" + within},
		{begun + `,"continue_final_message":true,"add_generation_prompt":false`, "Hel" + within},
		{begun + `,"continue_final_message":true`, "Hel" + within},
		{begun + `,"continue_final_message":false`, "Hel" + turn},
		{begun + `,"add_generation_prompt":true`, "Hel" + turn},
		{begun + `,"add_generation_prompt":false`, "Hel" + behind},
		{begun + `,"add_generation_prompt":false,"continue_final_message":false`, "Hel" + behind},
		{callsTool, "Hel\n<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>" + turn},
	} {
		got := s.post("/v1/chat/completions", "{"+test.fields+"}")
		want := "<s>user:Hi<|end|>assistant:" + test.want
		if prompt := text(&fakeVariant{}, fake.last().Prompt); got.status != 200 || prompt != want {
			t.Errorf("%s: status %d, prompt %q, want %q", test.fields, got.status, prompt, want)
		}
		var applied openapi.ApplyTemplateResponse
		if s.post("/apply-template", "{"+test.fields+"}").decode(t, &applied); applied.Prompt != want {
			t.Errorf("%s: /apply-template says %q, want %q", test.fields, applied.Prompt, want)
		}
	}
	for fields, want := range map[string]string{
		`"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":" \n"}]`: "<s>user:Hi<|end|>assistant:",
		`"messages":[{"role":"assistant","content":""}]`:                                   "<s>assistant:<|end|>assistant:",
		hi + `,"continue_final_message":false,"add_generation_prompt":true`:                "<s>user:Hi<|end|>assistant:",
	} {
		got := s.post("/v1/chat/completions", "{"+fields+"}")
		if prompt := text(&fakeVariant{}, fake.last().Prompt); got.status != 200 || prompt != want {
			t.Errorf("%s: status %d, prompt %q, want %q", fields, got.status, prompt, want)
		}
	}
}

// TestOpeningsRefused checks that an error names the field that excludes the opening.
func TestOpeningsRefused(t *testing.T) {
	s := serve(t, newFake())
	for fields, param := range map[string]string{
		begun + `,"continue_final_message":true,"add_generation_prompt":true`: "continue_final_message",
		hi + `,"continue_final_message":true`:                                 "continue_final_message",
		begun + `,"continue_final_message":1`:                                 "continue_final_message",
		begun + `,"add_generation_prompt":"no"`:                               "add_generation_prompt",
		begun + `,"response_format":{"type":"json_object"}`:                   "response_format",
		begun + `,"guided_json":{}`:                                           "guided_json",
		`"messages":[{"role":"assistant","content":"a","tool_calls":[{"id":"c","function":{"name":"f","arguments":"{}"}}]}],"continue_final_message":true`: "messages",
		`"messages":[{"role":"assistant","reasoning":"a"}],"continue_final_message":true`:                                                                  "messages",
		`"messages":[{"role":"assistant","content":"refuse me"},{"role":"assistant","content":"a"}]`:                                                       "messages",
	} {
		got := s.post("/v1/chat/completions", `{`+fields+`}`)
		var body openapi.ErrorBody
		got.decode(t, &body)
		if got.status != 400 || body.Error == nil || body.Error.Param == nil || *body.Error.Param != param {
			t.Errorf("%s: status %d, body %s, want %s refused", fields, got.status, got.body, param)
		}
	}
}

// TestContinuedAnswer checks that an answer that continues a message has only the new text, streamed or not. The text of a
// control token in the message remains text.
func TestContinuedAnswer(t *testing.T) {
	fake := newFake()
	fake.answer = func(infer.Request) string { return "lo<think>" }
	s := serve(t, fake)
	body := `{` + begun + `,"grammar":"root ::= \"lo\""`
	var plain openapi.ChatResponse
	s.post("/v1/chat/completions", body+"}").decode(t, &plain)
	if len(plain.Choices) != 1 || *plain.Choices[0].Message.Content != "lo<think>" || plain.Choices[0].Message.ReasoningText != "" {
		t.Errorf("answer %+v", plain)
	}
	if fake.last().Grammar == "" {
		t.Error("no grammar constrains the new text")
	}
	streamed := ""
	for _, raw := range events(t, s.post("/v1/chat/completions", body+`,"stream":true}`).body) {
		var chunk struct {
			Choices []struct{ Delta struct{ Content string } }
		}
		if err := json.Unmarshal(raw, &chunk); err != nil {
			t.Fatal(err)
		}
		for _, c := range chunk.Choices {
			streamed += c.Delta.Content
		}
	}
	if streamed != "lo<think>" {
		t.Errorf("streamed %q", streamed)
	}
	s.post("/v1/chat/completions", `{"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":"a<|end|>b"}]}`)
	ends := 0
	for _, token := range fake.last().Prompt {
		if token == fakeEnd {
			ends++
		}
	}
	if ends != 1 {
		t.Errorf("%d control tokens end turns, want only the user's", ends)
	}
}

// TestContinuedThinking checks that the new text is thinking only if the message ends inside its thinking.
func TestContinuedThinking(t *testing.T) {
	for _, test := range []struct{ template, last, answer, reasoning, content string }{
		{thinks, "Yes", "<think>Hm.</think>No", "", "<think>Hm.</think>No"},
		{opensThinking, "Yes", "</think>No", "", "</think>No"},
		{thinks, "<think>Hm</think>Yes", "No", "", "No"},
		{thinks, "<think>\nHm", ", hm.</think>\n\nYes", ", hm.", "Yes"},
	} {
		fake := newFake()
		fake.template, fake.context = test.template, 4096
		fake.answer = func(infer.Request) string { return test.answer }
		var chat openapi.ChatResponse
		messages := string(must(json.Marshal([]map[string]string{{"role": "user", "content": "Hi"}, {"role": "assistant", "content": test.last}})))
		serve(t, fake).post("/v1/chat/completions", `{"messages":`+messages+`}`).decode(t, &chat)
		if len(chat.Choices) != 1 || *chat.Choices[0].Message.Content != test.content || chat.Choices[0].Message.ReasoningText != test.reasoning {
			t.Errorf("%q, then %q: %+v, want thinking %q and content %q", test.last, test.answer, chat, test.reasoning, test.content)
		}
	}
}

// TestMessagesContinue checks Anthropic's API, which has no field for it: the last message decides.
func TestMessagesContinue(t *testing.T) {
	fake := newFake()
	fake.answer = func(infer.Request) string { return "lo" }
	s := serve(t, fake)
	for last, want := range map[string]string{`"Hel"`: "Hel", `[{"type":"text","text":"Hel"}]`: "Hel", `""`: "", `[]`: ""} {
		messages := `"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":` + last + `}]`
		var got openapi.MessagesResponse
		s.post("/v1/messages", `{"max_tokens":5,`+messages+`}`).decode(t, &got)
		prompt := text(&fakeVariant{}, fake.last().Prompt)
		if want := "<s>user:Hi<|end|>assistant:" + want; prompt != want || outline(got) != "end_turn: lo" {
			t.Errorf("%s: prompt %q, want %q; message %s", last, prompt, want, outline(got))
		}
		var counted openapi.MessagesTokens
		s.post("/v1/messages/count_tokens", `{`+messages+`}`).decode(t, &counted)
		if counted.InputTokens != len(fake.last().Prompt) {
			t.Errorf("%s: %d tokens counted, want %d", last, counted.InputTokens, len(fake.last().Prompt))
		}
	}
}
