package server

import (
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"prunellm/infer"
	"prunellm/openapi"
)

func texts(c openapi.CompletionResponse) []string {
	var out []string
	for i, choice := range c.Choices {
		if choice.Index != i {
			out = append(out, "out of order")
		}
		out = append(out, choice.Text)
	}
	return out
}

func TestCompletion(t *testing.T) {
	fake := newFake()
	fake.answer = func(r infer.Request) string { return "<" + string(rune(r.Prompt[len(r.Prompt)-1])) + ">" }
	s := serve(t, fake)
	tests := []struct {
		name, body string
		want       []string
		prompt     int // tokens
	}{
		{"string", `{"prompt":"ab"}`, []string{"<b>"}, 3},
		{"strings", `{"prompt":["ab","c"],"n":2}`, []string{"<b>", "<b>", "<c>", "<c>"}, 5},
		{"tokens", `{"prompt":[97,98]}`, []string{"<b>"}, 2},
		{"lists of tokens", `{"prompt":[[97],[98,99]]}`, []string{"<a>", "<c>"}, 3},
		{"echo", `{"prompt":"ab","echo":true}`, []string{"ab<b>"}, 3},
		{"echo of tokens", `{"prompt":[257,97,98],"echo":true}`, []string{"<s>ab<b>"}, 3},
		{"fields without effect", `{"prompt":"ab","suffix":"","best_of":1,"logprobs":null}`, []string{"<b>"}, 3},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := s.post("/v1/completions", test.body)
			var completion openapi.CompletionResponse
			got.decode(t, &completion)
			if diff := cmp.Diff(test.want, texts(completion)); diff != "" {
				t.Fatalf("status %d, texts differ (-want +got):\n%s%s", got.status, diff, got.body)
			}
			if completion.Usage.PromptTokens != test.prompt || completion.Usage.CompletionTokens != 4*len(test.want) {
				t.Errorf("usage %+v, want %d prompt tokens and 4 for each text", completion.Usage, test.prompt)
			}
			stream := s.post("/v1/completions", test.body[:len(test.body)-1]+`,"stream":true,"stream_options":{"include_usage":true}}`)
			joined := make([]string, len(test.want))
			var usage *openapi.Usage
			for _, event := range events(t, stream.body) {
				var chunk openapi.CompletionResponse
				reply{body: event}.decode(t, &chunk)
				for _, choice := range chunk.Choices {
					joined[choice.Index] += choice.Text
				}
				if chunk.Usage != nil {
					usage = chunk.Usage
				}
			}
			if diff := cmp.Diff(test.want, joined); diff != "" {
				t.Errorf("streamed texts differ (-want +got):\n%s%s", diff, stream.body)
			}
			if diff := cmp.Diff(completion.Usage, usage); diff != "" {
				t.Errorf("usage of the stream differs:\n%s", diff)
			}
		})
	}
}

func TestCompletionLogprobs(t *testing.T) {
	fake := newFake()
	fake.answer = func(infer.Request) string { return "aéb" }
	s := serve(t, fake)
	var completion openapi.CompletionResponse
	s.post("/v1/completions", `{"prompt":"x","logprobs":2}`).decode(t, &completion)
	top := map[string]float64{"a": 0, "b": -1}
	with := func(token string) map[string]float64 { // the chosen token is always among them
		out := maps.Clone(top)
		out[token] = -0.5
		return out
	}
	want := &openapi.TextLogprobs{
		Tokens:        []string{"a", `bytes:\xc3`, `bytes:\xa9`, "b"},
		TokenLogprobs: floats(-0.5, -0.5, -0.5, -0.5),
		TopLogprobs:   []map[string]float64{with("a"), with(`bytes:\xc3`), with(`bytes:\xa9`), with("b")},
		TextOffset:    []int{0, 1, 2, 2},
	}
	if diff := cmp.Diff(want, completion.Choices[0].Logprobs); diff != "" {
		t.Errorf("logprobs differ (-want +got):\n%s", diff)
	}
}

func floats(values ...float64) []*float64 {
	out := make([]*float64, len(values))
	for i := range values {
		out[i] = &values[i]
	}
	return out
}

// TestPromptLogprobs covers requests of lm-evaluation-harness: the prompt's tokens, with or without an answer.
func TestPromptLogprobs(t *testing.T) {
	fake := newFake()
	fake.answer = func(infer.Request) string { return "z" }
	s := serve(t, fake)
	want := map[string]*openapi.TextLogprobs{
		"0": {Tokens: []string{`bytes:\xc3`, `bytes:\xa9`, "b"}, TokenLogprobs: append([]*float64{nil}, floats(-1, -2)...), TextOffset: []int{0, 1, 1}},
		"1": {Tokens: []string{`bytes:\xc3`, `bytes:\xa9`, "b", "z"}, TokenLogprobs: append([]*float64{nil}, floats(-1, -2, -0.5)...), TextOffset: []int{0, 1, 1, 2}},
	}
	for max, want := range want {
		body := `{"prompt":[195,169,98],"echo":true,"logprobs":0,"max_tokens":` + max
		var plain openapi.CompletionResponse
		s.post("/v1/completions", body+"}").decode(t, &plain)
		got := plain.Choices[0]
		for i := range got.Logprobs.Tokens {
			if (got.Logprobs.TopLogprobs[i] == nil) != (i == 0) {
				t.Errorf("max_tokens %s: alternatives of token %d = %v", max, i, got.Logprobs.TopLogprobs[i])
			}
		}
		got.Logprobs.TopLogprobs = nil
		if diff := cmp.Diff(want, got.Logprobs); diff != "" {
			t.Errorf("max_tokens %s: logprobs differ (-want +got):\n%s", max, diff)
		}
		text := "éb" + strings.Repeat("z", len(want.Tokens)-3)
		if got.Text != text || *got.FinishReason != "length" {
			t.Errorf("max_tokens %s: text %q, finish %s", max, got.Text, *got.FinishReason)
		}
		stream := s.post("/v1/completions", body+`,"stream":true}`)
		if first := string(events(t, stream.body)[0]); !strings.Contains(first, `"text":"`+text) || !strings.Contains(first, `[null,-1,-2`) {
			t.Errorf("max_tokens %s: stream begins with %s", max, first)
		}
	}
}
