package server

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"prunellm/infer"
	"prunellm/internal/chat"
	"prunellm/openapi"
)

// fimFacts are those of a model with tokens for infilling. The fake has two control tokens to play them.
func fimFacts(o *Options) {
	o.Facts = Facts{Context: fakeContext, TrainedContext: 8192, Vocabulary: fakeVocab, HiddenSize: 2, Infill: chat.Infill{Prefix: "<|end|>", Suffix: "<s>", Middle: "<|end|>"}}
}

func repositoryFacts(o *Options) {
	fimFacts(o)
	o.Facts.Infill.Repository, o.Facts.Infill.File = "<s>", "<s>"
}

func TestInfillPrompt(t *testing.T) {
	fake := newFake()
	for name, test := range map[string]struct {
		facts      func(*Options)
		path, body string
		want       string
	}{
		"completion":          {fimFacts, "/v1/completions", `{"prompt":"def f(","suffix":"return 1"}`, "<s><|end|>def f(<s>return 1<|end|>"},
		"several":             {fimFacts, "/v1/completions", `{"prompt":["a","b"],"suffix":"c"}`, "<s><|end|>b<s>c<|end|>"},
		"no suffix":           {fimFacts, "/v1/completions", `{"prompt":"def f(","suffix":""}`, "<s>def f("},
		"infill":              {fimFacts, "/infill", `{"input_prefix":"ab\n","input_suffix":"\nef","prompt":"c"}`, "<s><|end|>ab\nc<s>\nef<|end|>"},
		"empty":               {fimFacts, "/infill", `{"input_prefix":"","input_suffix":""}`, "<s><|end|><s><|end|>"},
		"extra":               {fimFacts, "/infill", `{"input_prefix":"a","input_suffix":"b","input_extra":[{"filename":"x.go","text":"X"},{"text":"Y"}]}`, "<s>\n\n--- snippet ---\n\nX\n\n--- snippet ---\n\nY<|end|>a<s>b<|end|>"},
		"repository":          {repositoryFacts, "/infill", `{"input_prefix":"a","input_suffix":"b","input_extra":[{"filename":"x.go","text":"X"},{"text":"Y"}]}`, "<s><s>myproject\n<s>x.go\nX<s>tmp\nY<s>filename\n<|end|>a<s>b<|end|>"},
		"Ollama":              {fimFacts, "/api/generate", `{"prompt":"def f(","suffix":"return 1"}`, "<s><|end|>def f(<s>return 1<|end|>"},
		"spelled in a text":   {fimFacts, "/infill", `{"input_prefix":"<s>","input_suffix":"<|end|>"}`, ""},
		"spelled in a prompt": {fimFacts, "/v1/completions", `{"prompt":"<s>","suffix":"<|end|>"}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := serve(t, fake, test.facts).post(test.path, test.body); got.status != 200 {
				t.Fatalf("%d %s", got.status, got.body)
			}
			prompt := fake.last().Prompt
			if test.want == "" { // of texts that spell control tokens, only the frame has some
				if n := len(slices.DeleteFunc(slices.Clone(prompt), func(token infer.Token) bool { return token < 256 })); n != 4 {
					t.Errorf("prompt %v has %d control tokens, want 4", prompt, n)
				}
			} else if got := text(&fakeVariant{}, prompt); got != test.want {
				t.Errorf("prompt %q, want %q", got, test.want)
			}
		})
	}
}

// TestInfillCut: of texts beyond the context the parts next to the gap stay, and room for the answer.
func TestInfillCut(t *testing.T) {
	fake := newFake()
	s := serve(t, fake, fimFacts)
	a, b, x := strings.Repeat("a", 5000), strings.Repeat("b", 5000), strings.Repeat("x", 70000)
	for name, test := range map[string]struct {
		prefix, suffix, extra, more string
		want                        map[byte]int // bytes of each
		answer                      int
	}{
		"both":           {a, b, "", ``, map[byte]int{'a': 141, 'b': 47}, 64},
		"short suffix":   {a, b[:10], "", ``, map[byte]int{'a': 178, 'b': 10}, 64},
		"short prefix":   {a[:10], b, "", ``, map[byte]int{'a': 10, 'b': 178}, 64},
		"extra":          {a[:10], b[:10], x, ``, map[byte]int{'a': 10, 'b': 10, 'x': 168}, 64},
		"answer":         {a, b, "", `,"n_predict":10`, map[byte]int{'a': 182, 'b': 60}, 10},
		"large answer":   {a, b, "", `,"n_predict":1000`, map[byte]int{'a': 93, 'b': 31}, 128},
		"characters":     {strings.Repeat("ä", 40000), "", "", ``, map[byte]int{0xa4: 94}, 64},
		"nothing is cut": {a[:20], b[:20], "", ``, map[byte]int{'a': 20, 'b': 20}, fakeContext - 44},
	} {
		t.Run(name, func(t *testing.T) {
			body, err := json.Marshal(map[string]any{"input_prefix": test.prefix, "input_suffix": test.suffix, "input_extra": []map[string]string{{"text": test.extra}}})
			if err != nil {
				t.Fatal(err)
			}
			if test.extra == "" {
				body = []byte(strings.Replace(string(body), `"input_extra":[{"text":""}],`, "", 1))
			}
			var got openapi.InfillResponse
			s.post("/infill", strings.TrimSuffix(string(body), "}")+test.more+"}").decode(t, &got)
			prompt, counts := fake.last().Prompt, map[byte]int{}
			for _, token := range prompt {
				if token < 256 {
					counts[byte(token)]++
				}
			}
			for c, n := range test.want {
				if counts[c] != n {
					t.Errorf("%d times %q, want %d, in a prompt of %d tokens", counts[c], c, n, len(prompt))
				}
			}
			if got.Truncated != (name != "nothing is cut") || fake.last().MaxTokens != test.answer || len(prompt)+test.answer > fakeContext {
				t.Errorf("truncated: %v; room for %d tokens behind %d, want %d", got.Truncated, fake.last().MaxTokens, len(prompt), test.answer)
			}
		})
	}
}

func TestInfillAnswer(t *testing.T) {
	for name, test := range map[string]struct{ answer, fields, content, stop string }{
		"end":           {"a, b", ``, "a, b", "eos"},
		"limit":         {"abcdef", `,"n_predict":3`, "abc", "limit"},
		"word":          {"one two", `,"stop":[" t"]`, "one", "word"},
		"indentation":   {"a\n    b\n  c\n", `,"n_indent":4`, "a\n    b\n  ", "limit"},
		"deep enough":   {"a\n\t\t\t\tb\n     c", `,"n_indent":4`, "a\n\t\t\t\tb\n     c", "eos"},
		"first line":    {"a", `,"n_indent":4`, "a", "eos"},
		"blank line":    {"a\n\n    b", `,"n_indent":4`, "a\n", "limit"},
		"ends in blank": {"a\n  ", `,"n_indent":4`, "a\n  ", "eos"},
		"late":          {"a\nb\nc", `,"t_max_predict_ms":1`, "a\n", "limit"},
		"in time":       {"a\nb\nc", `,"t_max_predict_ms":100000`, "a\nb\nc", "eos"},
	} {
		t.Run(name, func(t *testing.T) {
			fake := newFake()
			fake.answer = func(infer.Request) string { return test.answer }
			s := serve(t, fake, fimFacts)
			body := `{"input_prefix":"x","input_suffix":"y"` + test.fields
			if name == "late" {
				fake.wait = slowFirst
			}
			var got openapi.InfillResponse
			s.post("/infill", body+"}").decode(t, &got)
			if got.Content != test.content || got.StopType != test.stop || !got.Stop || got.Model != "tiny@0.2" || got.HasNewLine != strings.Contains(test.content, "\n") {
				t.Errorf("answer %+v, want %q", got, test.content)
			}
			if got.TokensEvaluated != len(fake.last().Prompt) || got.TokensCached != 1 || got.Timings.PredictedN != got.TokensPredicted || got.TokensPredicted == 0 {
				t.Errorf("counts %+v", got)
			}
			var streamed string
			all := events(t, s.post("/infill", body+`,"stream":true}`).body)
			for i, raw := range all {
				var event openapi.InfillResponse
				if err := json.Unmarshal(raw, &event); err != nil {
					t.Fatal(err)
				}
				if streamed += event.Content; event.Stop != (i == len(all)-1) {
					t.Errorf("event %d of %d: %s", i, len(all), raw)
				}
			}
			if streamed != test.content {
				t.Errorf("stream %q, want %q", streamed, test.content)
			}
			eventually(t, "the generation ends with the answer", func() bool { return fake.running.Load() == 0 })
		})
	}
}

// TestInfillFields: log probabilities, a request that only warms the cache, and chosen fields.
func TestInfillFields(t *testing.T) {
	fake := newFake()
	fake.answer = func(infer.Request) string { return "ab" }
	s := serve(t, fake, fimFacts)
	const texts = `{"input_prefix":"x","input_suffix":"y"`
	var got openapi.InfillResponse
	s.post("/infill", texts+`,"n_probs":2}`).decode(t, &got)
	if len(got.Probabilities) != 2 || got.Probabilities[0].ID != 'a' || got.Probabilities[0].Token != "a" || len(got.Probabilities[0].Top) != 2 {
		t.Errorf("log probabilities %+v", got.Probabilities)
	}
	got = openapi.InfillResponse{}
	s.post("/infill", texts+`,"n_predict":0,"samplers":[]}`).decode(t, &got)
	if got.Content != "" || got.StopType != "none" || got.TokensPredicted != 0 || got.TokensEvaluated == 0 {
		t.Errorf("a request without an answer: %+v", got)
	}
	var picked map[string]any
	s.post("/infill", texts+`,"response_fields":["content","timings/prompt_n","nothing","content/x"]}`).decode(t, &picked)
	if diff := cmp.Diff(map[string]any{"content": "ab", "timings/prompt_n": float64(len(fake.last().Prompt) - 1)}, picked); diff != "" {
		t.Errorf("fields (-want +got):\n%s", diff)
	}
}

// TestInfillSampling: the defaults are those of all endpoints, and a list of samplers turns off the others.
func TestInfillSampling(t *testing.T) {
	fake := newFake()
	s := serve(t, fake, fimFacts)
	defaults := infer.Sampling{Temperature: 0.8, TopK: 40, TopP: 0.95, MinP: 0.05, TypicalP: 1, RepetitionPenalty: 1}
	none := infer.Sampling{Temperature: 1, TopP: 1, TypicalP: 1, RepetitionPenalty: 1}
	vim := infer.Sampling{Temperature: 1, TopK: 40, TopP: 0.9, TypicalP: 1, RepetitionPenalty: 1, Infill: true}
	penalties := none
	penalties.RepetitionPenalty, penalties.RepetitionWindow, penalties.TopK = 1.2, 64, 40
	for fields, want := range map[string]infer.Sampling{
		``: defaults, `"samplers":[]`: none,
		`"top_k":40,"top_p":0.9,"samplers":["top_k","top_p","infill"]`:                             vim,
		`"repeat_penalty":1.2,"samplers":["penalties","dry","top_n_sigma","top_k","xtc"]`:          penalties,
		`"temperature":1,"min_p":0,"samplers":["top_k","typical_p","top_p","min_p","temperature"]`: {Temperature: 1, TopK: 40, TopP: 0.95, TypicalP: 1, RepetitionPenalty: 1},
	} {
		body := strings.TrimSuffix(`{"input_prefix":"x","input_suffix":"y",`+fields, ",") + "}"
		if got := s.post("/infill", body); got.status != 200 {
			t.Fatalf("%s = %d %s", body, got.status, got.body)
		}
		got := fake.last().Sampling
		got.Seed = 0
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", body, diff)
		}
	}
	for fields, says := range map[string]string{
		`"samplers":["top_k","top_p","min_p","temperature"]`: "min_p behind top_p", `"samplers":["top_p","top_k"]`: "top_k behind top_p", `"samplers":["infill","top_k"]`: "top_k behind infill",
		`"samplers":["mirostat"]`: "mirostat", `"samplers":["top_k","top_k"]`: "twice", `"samplers":"kp"`: "samplers is a string", `"samplers":[1]`: "samplers[0]",
		`"mirostat":1`: "mirostat", `"n":2`: "n is not supported", `"n_indent":-1`: "n_indent", `"t_max_predict_ms":"a"`: "t_max_predict_ms", `"input_extra":[{"filename":"a"}]`: "input_extra[0].text",
		`"input_extra":["a"]`: "input_extra[0]", `"response_fields":[1]`: "response_fields[0]", `"prompt":["a"]`: "prompt",
	} {
		if got := s.post("/infill", `{"input_prefix":"x","input_suffix":"y",`+fields+"}"); got.status != 400 || !strings.Contains(string(got.body), says) {
			t.Errorf("%s = %d %s, want %q", fields, got.status, got.body, says)
		}
	}
	for _, body := range []string{`{"input_prefix":"x"}`, `{"input_suffix":"x"}`} {
		if got := s.post("/infill", body); got.status != 400 {
			t.Errorf("%s = %d", body, got.status)
		}
	}
}

// TestNoInfill: a model without the tokens says so, before anything is computed.
func TestNoInfill(t *testing.T) {
	fake := newFake()
	s := serve(t, fake)
	for path, body := range map[string]string{
		"/v1/completions": `{"prompt":"a","suffix":"b"}`, "/infill": `{"input_prefix":"a","input_suffix":""}`, "/api/generate": `{"prompt":"a","suffix":"b"}`,
	} {
		if got := s.post(path, body); got.status != 400 || !strings.Contains(string(got.body), "does not support insert") {
			t.Errorf("%s = %d %s", path, got.status, got.body)
		}
	}
	able := serve(t, fake, fimFacts)
	for body, says := range map[string]string{`{"prompt":[1,2],"suffix":"b"}`: "prompt of text", `{"prompt":"a","echo":true,"suffix":"b"}`: "echo"} {
		if got := able.post("/v1/completions", body); got.status != 400 || !strings.Contains(string(got.body), says) {
			t.Errorf("%s = %d %s", body, got.status, got.body)
		}
	}
	var model openapi.Model
	if able.do("GET", "/v1/models/tiny", "").decode(t, &model); !slices.Contains(model.Capabilities, "insert") {
		t.Errorf("capabilities %v", model.Capabilities)
	}
	if len(fake.requests) > 0 {
		t.Errorf("%d generations", len(fake.requests))
	}
}

// TestLlamaVim replays what the plugin of llama.cpp for Vim sends.
func TestLlamaVim(t *testing.T) {
	fake := newFake()
	fake.answer = func(infer.Request) string { return "return a + b" }
	s := serve(t, fake, repositoryFacts)
	body := `{"id_slot":0,"input_prefix":"def add(a, b):\n","input_suffix":"\n\nprint(add(1, 2))\n","input_extra":[{"text":"x = 1\n","time":[1,2],"filename":"b.py"}],"prompt":"    ",
		"n_predict":128,"stop":[],"n_indent":4,"top_k":40,"top_p":0.9,"stream":false,"samplers":["top_k","top_p","infill"],"cache_prompt":true,"t_max_prompt_ms":500,"t_max_predict_ms":1000,
		"response_fields":["content","timings/prompt_n","timings/prompt_ms","timings/prompt_per_token_ms","timings/prompt_per_second","timings/predicted_n","timings/predicted_ms",
		"timings/predicted_per_token_ms","timings/predicted_per_second","truncated","tokens_cached"]}`
	var got map[string]any
	if s.post("/infill", body).decode(t, &got); got["content"] != "return a + b" || got["timings/predicted_n"] != 13.0 || len(got) != 11 {
		t.Errorf("response %v", got)
	}
}

// slowFirst lets time pass behind the first token.
func slowFirst(ctx context.Context, token int) error {
	if token != 1 {
		return nil
	}
	timer := time.NewTimer(20 * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
