package server

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"prunellm/infer"
	"prunellm/openapi"
)

func hello(infer.Request) string { return "Hello, wörld!" }

const hi = `"messages":[{"role":"user","content":"Hi"}]`

func TestChat(t *testing.T) {
	fake := newFake()
	fake.answer = hello
	s := serve(t, fake)
	got := s.post("/v1/chat/completions", `{"model":"tiny","messages":[{"role":"developer","content":"Be nice"},{"role":"user","content":[{"type":"text","text":"Hi"},{"type":"text","text":"you"}]}],"seed":7,"max_tokens":99999}`)
	var chat openapi.ChatResponse
	got.decode(t, &chat)
	if got.status != 200 || len(chat.Choices) != 1 || *chat.Choices[0].Message.Content != "Hello, wörld!" || chat.Choices[0].FinishReason != "stop" {
		t.Fatalf("status %d, body %s", got.status, got.body)
	}
	if chat.Model != "tiny@0.2" || got.header.Get("x-prunellm-variant") != "tiny@0.2" {
		t.Errorf("model %q and header %q, want tiny@0.2", chat.Model, got.header.Get("x-prunellm-variant"))
	}
	prompt := "system:Be nice<|end|>user:Hi\nyou<|end|>assistant:"
	request := fake.last()
	if got := text(&fakeVariant{}, request.Prompt); got != "<s>"+prompt {
		t.Errorf("prompt %q, want one <s> and then %q", got, prompt)
	}
	if want := fakeContext - len(request.Prompt); request.MaxTokens != want {
		t.Errorf("max tokens %d, want the rest of the context: %d", request.MaxTokens, want)
	}
	want := openapi.Usage{PromptTokens: len(request.Prompt), CompletionTokens: 15, TotalTokens: len(request.Prompt) + 15, PromptTokensDetails: openapi.PromptsDetails{CachedTokens: 1}}
	if diff := cmp.Diff(want, chat.Usage); diff != "" {
		t.Errorf("usage differs (-want +got):\n%s", diff)
	}
	if age := time.Since(time.Unix(chat.Created, 0)); age < -time.Second || age > time.Minute {
		t.Errorf("created %v ago", age)
	}
}

func TestChatSampling(t *testing.T) {
	fake := newFake()
	s := serve(t, fake)
	body := `{` + hi + `,"temperature":0,"top_p":0.5,"top_k":4,"min_p":0.1,"typical_p":0.9,"repetition_penalty":1.1,"presence_penalty":-1,
		"frequency_penalty":2,"logit_bias":{"65":-100,"66":1.5},"seed":-1,"stop":["a","b"],"ignore_eos":true,"max_completion_tokens":3,
		"logprobs":true,"top_logprobs":2,"user":"me","unknown":{"x":[1]}}`
	if got := s.post("/v1/chat/completions", body); got.status != 200 {
		t.Fatalf("status %d, body %s", got.status, got.body)
	}
	got := fake.last()
	got.Prompt, got.Thinking = nil, infer.Thinking{}
	want := infer.Request{
		MaxTokens: 3, Stop: []string{"a", "b"}, IgnoreEOS: true, Logprobs: 2,
		Sampling: infer.Sampling{
			TopK: 4, TopP: 0.5, MinP: 0.1, TypicalP: 0.9, RepetitionPenalty: 1.1, PresencePenalty: -1, FrequencyPenalty: 2,
			LogitBias: map[infer.Token]float64{65: -100, 66: 1.5}, Seed: 1<<64 - 1,
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("request differs (-want +got):\n%s", diff)
	}
	s.post("/v1/chat/completions", `{`+hi+`,"top_p":0,"seed":null,"stop":null,"logit_bias":null,"max_tokens":null}`)
	if got := fake.last().Sampling; got.TopK != 1 || got.Temperature != 0.8 {
		t.Errorf("top_p 0 became %+v, want top_k 1", got)
	}
}

// TestSamplingDefaults sends requests without settings for sampling to every endpoint that generates text.
func TestSamplingDefaults(t *testing.T) {
	for _, test := range []struct {
		name     string
		defaults openapi.Sampling
		want     infer.Sampling
	}{
		{"llama-server's", openapi.Sampling{}, infer.Sampling{Temperature: 0.8, TopP: 0.95, TopK: 40, MinP: 0.05, TypicalP: 1, RepetitionPenalty: 1, Seed: 1}},
		{
			"the operator's", openapi.Sampling{Temperature: 0.2, TopP: 0.5, TopK: 3, RepetitionPenalty: 1.1},
			infer.Sampling{Temperature: 0.2, TopP: 0.5, TopK: 3, TypicalP: 1, RepetitionPenalty: 1.1, Seed: 1},
		},
	} {
		fake := newFake()
		s := serve(t, fake, func(o *Options) { o.Sampling = test.defaults })
		for path, body := range map[string]string{
			"/v1/chat/completions": `{` + hi + `,"seed":1}`,
			"/v1/completions":      `{"prompt":"a","seed":1}`,
			"/v1/responses":        `{"input":"a","seed":1}`,
			"/v1/messages":         `{` + hi + `,"max_tokens":3,"seed":1}`,
		} {
			s.post(path, body)
			if diff := cmp.Diff(test.want, fake.last().Sampling); diff != "" {
				t.Errorf("%s defaults, %s: sampling differs (-want +got):\n%s", test.name, path, diff)
			}
		}
	}
}

func TestChatChoices(t *testing.T) {
	s := serve(t, newFake())
	body := `{` + hi + `,"n":3,"seed":5}`
	var one, three, again openapi.ChatResponse
	s.post("/v1/chat/completions", `{`+hi+`,"seed":5}`).decode(t, &one)
	s.post("/v1/chat/completions", body).decode(t, &three)
	s.post("/v1/chat/completions", body).decode(t, &again)
	if len(three.Choices) != 3 || *three.Choices[0].Message.Content != *one.Choices[0].Message.Content {
		t.Fatalf("choices %+v, the first should be %+v", three.Choices, one.Choices[0])
	}
	if *three.Choices[1].Message.Content == *three.Choices[0].Message.Content || *three.Choices[1].Message.Content == *three.Choices[2].Message.Content {
		t.Error("choices share a seed")
	}
	if diff := cmp.Diff(three.Choices, again.Choices); diff != "" {
		t.Errorf("the same seed gave other choices:\n%s", diff)
	}
	if three.Usage.CompletionTokens <= 2*one.Usage.CompletionTokens || three.Usage.PromptTokens != one.Usage.PromptTokens {
		t.Errorf("usage %+v of three choices, %+v of one", three.Usage, one.Usage)
	}
}

func TestChatLogprobs(t *testing.T) {
	fake := newFake()
	fake.answer = func(infer.Request) string { return "é" }
	s := serve(t, fake)
	var chat openapi.ChatResponse
	s.post("/v1/chat/completions", `{`+hi+`,"logprobs":true,"top_logprobs":1}`).decode(t, &chat)
	want := &openapi.ChatLogprobs{Content: []openapi.TokenLogprob{
		{Logprob: openapi.Logprob{Token: "\uFFFD", Logprob: -0.5, Bytes: []int{0xc3}}, TopLogprobs: []openapi.Logprob{{Token: "a", Bytes: []int{'a'}}}},
		{Logprob: openapi.Logprob{Token: "\uFFFD", Logprob: -0.5, Bytes: []int{0xa9}}, TopLogprobs: []openapi.Logprob{{Token: "a", Bytes: []int{'a'}}}},
	}}
	if diff := cmp.Diff(want, chat.Choices[0].Logprobs); diff != "" {
		t.Errorf("logprobs differ (-want +got):\n%s", diff)
	}
}

// streamed joins the chunks of a stream.
func streamed(t *testing.T, body []byte) (text map[int]string, finish map[int]string, usage *openapi.Usage, chunks int) {
	t.Helper()
	if !bytes.HasSuffix(body, []byte("data: [DONE]\n\n")) {
		t.Fatalf("the stream does not end with [DONE]: %s", body)
	}
	text, finish = map[int]string{}, map[int]string{}
	roles := map[int]bool{}
	for _, event := range events(t, body) {
		var chunk openapi.ChatChunk
		if err := json.Unmarshal(event, &chunk); err != nil {
			t.Fatal(err)
		}
		chunks++
		if chunk.Usage != nil {
			usage = *chunk.Usage
		}
		for _, choice := range chunk.Choices {
			if roles[choice.Index] == (choice.Delta.Role == "assistant") {
				t.Errorf("chunk %s: the role belongs in a choice's first chunk, and only there", event)
			}
			roles[choice.Index] = true
			if choice.Delta.Content != nil {
				text[choice.Index] += **choice.Delta.Content
			}
			if choice.FinishReason != nil {
				finish[choice.Index] = *choice.FinishReason
			}
		}
	}
	return text, finish, usage, chunks
}

func TestChatStream(t *testing.T) {
	fake := newFake()
	fake.answer = hello
	s := serve(t, fake)
	got := s.post("/v1/chat/completions", `{"model":"tiny@0.3",`+hi+`,"stream":true,"n":2,"stream_options":{"include_usage":true}}`)
	text, finish, usage, _ := streamed(t, got.body)
	want := map[int]string{0: "Hello, wörld!", 1: "Hello, wörld!"}
	if diff := cmp.Diff(want, text); diff != "" {
		t.Errorf("text differs (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[int]string{0: "stop", 1: "stop"}, finish); diff != "" {
		t.Errorf("finish reasons differ (-want +got):\n%s", diff)
	}
	if usage == nil || usage.CompletionTokens != 30 {
		t.Errorf("usage %+v, want 30 completion tokens", usage)
	}
	if got.header.Get("x-prunellm-variant") != "tiny@0.3" || !strings.HasPrefix(got.header.Get("Content-Type"), "text/event-stream") {
		t.Errorf("headers %v", got.header)
	}
	if !bytes.Contains(got.body, []byte(`"model":"tiny@0.3"`)) {
		t.Error("chunks do not name the variant")
	}
	got = s.post("/v1/chat/completions", `{`+hi+`,"stream":true,"max_tokens":3,"logprobs":true}`)
	text, finish, usage, _ = streamed(t, got.body)
	if text[0] != "Hel" || finish[0] != "length" || usage != nil || !bytes.Contains(got.body, []byte(`"logprobs":{"content":[{"token":"H"`)) {
		t.Errorf("stream of three tokens: %v, %v, %v\n%s", text, finish, usage, got.body)
	}
}

func TestStreamPings(t *testing.T) {
	fake := newFake()
	release := make(chan struct{})
	fake.wait = func(ctx context.Context, _ int) error {
		select {
		case <-release:
		case <-ctx.Done():
		}
		return ctx.Err()
	}
	s := serve(t, fake)
	time.AfterFunc(200*time.Millisecond, func() { close(release) })
	got := s.post("/v1/chat/completions", `{`+hi+`,"stream":true}`)
	before, _, _ := bytes.Cut(got.body, []byte("data: "))
	if n := bytes.Count(before, []byte(": ping\n\n")); n < 3 {
		t.Errorf("%d pings before the first chunk, want some:\n%s", n, got.body)
	}
}

// TestFailures covers errors of the engine. Before the first byte they have an HTTP status; in a stream they are an
// event.
func TestFailures(t *testing.T) {
	tests := []struct {
		name   string
		err    error
		status int
		code   string
	}{
		{"engine", fmt.Errorf("decode: %w", infer.ErrEngine), 503, openapi.CodeUnavailable},
		{"unknown", fmt.Errorf("secret cause"), 500, openapi.CodeInternal},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			fake := newFake()
			fake.wait = func(_ context.Context, token int) error {
				if token >= 2 {
					return test.err
				}
				return nil
			}
			s := serve(t, fake)
			got := s.post("/v1/chat/completions", `{`+hi+`}`)
			var body openapi.ErrorBody
			got.decode(t, &body)
			if got.status != test.status || *body.Error.Code != test.code || strings.Contains(body.Error.Message, "secret") {
				t.Errorf("status %d, body %s", got.status, got.body)
			}
			if !strings.Contains(s.log.String(), test.err.Error()) {
				t.Error("the log lacks the cause")
			}
			got = s.post("/v1/chat/completions", `{`+hi+`,"stream":true}`)
			all := events(t, got.body)
			last := all[len(all)-1]
			if !bytes.Contains(last, []byte(`"code":"`+test.code+`"`)) || bytes.Contains(got.body, []byte("[DONE]")) {
				t.Errorf("stream ends with %s", last)
			}
			if n := s.gauge("prunellm_requests_in_flight"); n != 0 {
				t.Errorf("%v requests in flight", n)
			}
			if a, r := fake.acquired.Load(), fake.released.Load(); a != 2 || r != 2 {
				t.Errorf("%d acquired and %d released", a, r)
			}
		})
	}
}

func TestPanicsAreErrors(t *testing.T) {
	fake := newFake()
	fake.panicAt = 3
	s := serve(t, fake)
	if got := s.post("/v1/chat/completions", `{`+hi+`}`); got.status != 500 {
		t.Errorf("status %d, body %s", got.status, got.body)
	}
	got := s.post("/v1/chat/completions", `{`+hi+`,"stream":true}`)
	if !bytes.Contains(got.body, []byte(`"code":"internal_error"`)) {
		t.Errorf("stream %s", got.body)
	}
	fake.acquire = func(context.Context, openapi.ModelName) error { panic("no models today") }
	if got := s.post("/v1/chat/completions", `{`+hi+`}`); got.status != 500 || bytes.Contains(got.body, []byte("today")) {
		t.Errorf("status %d, body %s", got.status, got.body)
	}
	if n := s.gauge("prunellm_requests_in_flight"); n != 0 {
		t.Errorf("%v requests in flight", n)
	}
}

// TestSubmitFailsHalfway checks that the choices already submitted are cancelled.
func TestSubmitFailsHalfway(t *testing.T) {
	fake := newFake()
	submitted := 0
	fake.submit = func(infer.Request) error {
		if submitted++; submitted > 2 {
			return infer.ErrQueueFull
		}
		return nil
	}
	s := serve(t, fake)
	got := s.post("/v1/chat/completions", `{`+hi+`,"n":4}`)
	if got.status != 429 || got.header.Get("Retry-After") != "1" {
		t.Errorf("status %d, Retry-After %q, body %s", got.status, got.header.Get("Retry-After"), got.body)
	}
	if n := s.gauge("prunellm_requests_in_flight"); n != 0 {
		t.Errorf("%v requests in flight", n)
	}
}

func TestNothingPrivateIsLogged(t *testing.T) {
	fake := newFake()
	fake.answer = func(infer.Request) string { return "the ANSWER" }
	s := serve(t, fake, func(o *Options) { o.APIKeys = func() []string { return []string{"sk-KEY"} } })
	for _, body := range []string{`{"messages":[{"role":"user","content":"the PROMPT"}]}`, `{"messages":[{"role":"user","content":"refuse me"}],"x":"PROMPT"}`, `{"PROMPT"`} {
		s.post("/v1/chat/completions", body, "Authorization", "Bearer sk-KEY")
	}
	s.do("GET", "/v1/models/PROMPT", "", "x-api-key", "sk-KEY2")
	s.do("GET", "/PROMPT?PROMPT", "")
	log := s.log.String()
	for _, secret := range []string{"PROMPT", "ANSWER", "sk-KEY"} {
		if strings.Contains(log, secret) {
			t.Errorf("the log holds %q:\n%s", secret, log)
		}
	}
	if !strings.Contains(log, "route=/v1/chat/completions status=200") {
		t.Errorf("the log lacks the requests:\n%s", log)
	}
}
