package server

import (
	"strings"
	"testing"

	"prunellm/infer"
)

// A prediction reaches the engine as tokens, and usage says how much of it was right. Without one, usage has no such fields.
func TestPrediction(t *testing.T) {
	fake := newFake()
	var got []infer.Token
	fake.submit = func(r infer.Request) error { got = r.Prediction; return nil }
	s := serve(t, fake)
	const ask = `{"messages":[{"role":"user","content":"hi"}]`
	r := s.post("/v1/chat/completions", ask+`,"prediction":{"type":"content","content":[{"type":"text","text":"ab"},{"type":"text","text":"c"}]}}`)
	if text := string(r.body); r.status != 200 || !strings.Contains(text, `"accepted_prediction_tokens":2,"rejected_prediction_tokens":1`) {
		t.Errorf("%d %s", r.status, text)
	}
	if want := "ab\nc"; len(got) != len(want) {
		t.Errorf("the engine got %d tokens of the prediction, want those of %q", len(got), want)
	}
	r = s.post("/v1/chat/completions", ask+`}`)
	if text := string(r.body); r.status != 200 || strings.Contains(text, "prediction") || got != nil {
		t.Errorf("without a prediction: %d %s, %d tokens", r.status, text, len(got))
	}
	r = s.post("/v1/chat/completions", ask+`,"prediction":{"type":"content","content":"`+strings.Repeat("ab ", 1<<12)+`"}}`)
	if r.status != 200 || len(got) != fake.context {
		t.Errorf("a prediction longer than the context: %d, %d tokens", r.status, len(got))
	}
}
