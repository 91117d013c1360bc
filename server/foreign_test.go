package server

import (
	"strings"
	"testing"

	"prunellm/infer"
	"prunellm/openapi"
)

// TestRepetitionNames: one penalty by the names of two servers, each with its own reach.
func TestRepetitionNames(t *testing.T) {
	fake := newFake()
	s := serve(t, fake)
	for fields, want := range map[string]infer.Sampling{
		``:                         {RepetitionPenalty: 1},
		`"repetition_penalty":1.2`: {RepetitionPenalty: 1.2},
		`"repeat_penalty":1.2`:     {RepetitionPenalty: 1.2, RepetitionWindow: 64},
		`"repeat_penalty":1.2,"repeat_last_n":-1`:     {RepetitionPenalty: 1.2},
		`"repeat_penalty":1.2,"repeat_last_n":0`:      {RepetitionPenalty: 1},
		`"repeat_penalty":1.2,"repeat_last_n":16`:     {RepetitionPenalty: 1.2, RepetitionWindow: 16},
		`"repetition_penalty":1.2,"repeat_last_n":16`: {RepetitionPenalty: 1.2, RepetitionWindow: 16},
		`"repeat_penalty":null,"repeat_last_n":null`:  {RepetitionPenalty: 1},
	} {
		body := strings.TrimSuffix(`{"prompt":"a",`+fields, ",") + "}"
		for _, path := range []string{"/v1/completions", "/v1/chat/completions"} {
			sent := body
			if path != "/v1/completions" {
				sent = strings.Replace(body, `"prompt":"a"`, hi, 1)
			}
			if got := s.post(path, sent); got.status != 200 {
				t.Fatalf("%s %s = %d %s", path, sent, got.status, got.body)
			}
			if got := fake.last().Sampling; got.RepetitionPenalty != want.RepetitionPenalty || got.RepetitionWindow != want.RepetitionWindow {
				t.Errorf("%s %s has a penalty of %g over %d tokens, want %g over %d", path, sent, got.RepetitionPenalty, got.RepetitionWindow, want.RepetitionPenalty, want.RepetitionWindow)
			}
		}
	}
	if got := s.post("/v1/completions", `{"prompt":"a","repeat_penalty":1.1,"repetition_penalty":1.1}`); got.status != 400 || !strings.Contains(string(got.body), "send only one") {
		t.Errorf("both names = %d %s", got.status, got.body)
	}
}

// TestLlamaServerNames: llama-server's names of limits and log probabilities have OpenAI's effect, and hints have none.
func TestLlamaServerNames(t *testing.T) {
	fake := newFake()
	s := serve(t, fake)
	s.post("/v1/completions", `{"prompt":"a","n_predict":7,"n_probs":9,"cache_prompt":false,"id_slot":3,"n_keep":5,"timings_per_token":true}`)
	if got := fake.last(); got.MaxTokens != 7 || got.Logprobs != 9 {
		t.Errorf("request %+v, want 7 tokens and 9 alternatives", got)
	}
	var chat openapi.ChatResponse
	s.post("/v1/chat/completions", `{`+hi+`,"n_predict":5,"n_probs":2}`).decode(t, &chat)
	if got := fake.last(); got.MaxTokens != 5 || got.Logprobs != 2 || len(chat.Choices[0].Logprobs.Content[0].TopLogprobs) != 2 {
		t.Errorf("request %+v, answer %+v", got, chat.Choices[0])
	}
	s.post("/v1/completions", `{"prompt":"a","n_predict":-1,"n_probs":0}`)
	if got := fake.last(); got.MaxTokens != fakeContext-2 || got.Logprobs != -1 {
		t.Errorf("request %+v, want no limit and no log probabilities", got)
	}
	for _, c := range []struct{ path, body string }{
		{"/v1/completions", `{"prompt":"a","max_tokens":5,"n_predict":6}`},
		{"/v1/completions", `{"prompt":"a","logprobs":2,"n_probs":3}`},
		{"/v1/chat/completions", `{` + hi + `,"logprobs":true,"top_logprobs":2,"n_probs":3}`},
		{"/v1/responses", `{"input":"a","n_probs":3}`},
		{"/v1/responses", `{"input":"a","mirostat":1}`},
		{"/v1/messages", messagesHi + `,"n_probs":3}`},
		{"/v1/messages", messagesHi + `,"xtc_probability":0.5}`},
	} {
		if got := s.post(c.path, c.body); got.status != 400 {
			t.Errorf("%s %s = %d %s, want 400", c.path, c.body, got.status, got.body)
		}
	}
}
