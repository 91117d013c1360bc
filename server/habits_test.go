package server

import (
	"slices"
	"strings"
	"testing"

	"prunellm/infer"
	"prunellm/openapi"
)

// Clients search for these words to shorten a conversation.
func TestContextErrorWords(t *testing.T) {
	fake := newFake()
	s := serve(t, fake)
	for name, c := range map[string]struct{ path, body, want string }{
		"tokens": {"/v1/completions", `{"prompt":"` + strings.Repeat("a", 300) + `"}`,
			"prompt is too long: 301 tokens. This model's maximum context length is 256 tokens"},
		"bytes": {"/v1/chat/completions", `{"messages":[{"role":"user","content":"` + strings.Repeat("a", 70000) + `"}]}`,
			"prompt is too long: 70000 bytes. This model's maximum context length is 256 tokens"},
	} {
		t.Run(name, func(t *testing.T) {
			var got openapi.ErrorBody
			if reply := s.post(c.path, c.body); reply.status != 400 {
				t.Fatalf("status = %d, want 400", reply.status)
			} else {
				reply.decode(t, &got)
			}
			if *got.Error.Code != openapi.CodeContextLength || !strings.HasPrefix(got.Error.Message, c.want) || !strings.Contains(got.Error.Message, "--ctx") {
				t.Errorf("error = %q %q, want %q and the flag", *got.Error.Code, got.Error.Message, c.want)
			}
		})
	}
}

// Embeddings and the echo of a prompt without an answer take the whole context.
func TestPromptOfExactlyTheContext(t *testing.T) {
	s := serve(t, newFake())
	whole := `"` + strings.Repeat("a", fakeContext-1) // and the beginning of sequence
	for body, path := range map[string]string{
		`{"input":` + whole + `"}`:                                          "/v1/embeddings",
		`{"prompt":` + whole + `","echo":true,"max_tokens":0}`:              "/v1/completions",
		`{"prompt":` + whole + `","echo":true,"max_tokens":0,"logprobs":1}`: "/v1/completions",
	} {
		if got := s.post(path, body); got.status != 200 {
			t.Errorf("%s of the whole context = %d %s", path, got.status, got.body)
		}
		longer := strings.Replace(body, "aaa", "aaaa", 1)
		if got := s.post(path, longer); got.status != 400 || !strings.Contains(string(got.body), "257 tokens") || strings.Contains(string(got.body), "including the answer") {
			t.Errorf("%s of one token more = %d %s, want 400 that does not mention an answer", path, got.status, got.body)
		}
	}
	if got := s.post("/v1/completions", `{"prompt":`+whole+`","echo":true,"max_tokens":1}`); got.status != 400 {
		t.Errorf("an answer after a prompt of the whole context = %d, want 400", got.status)
	}
}

func TestHealthAlias(t *testing.T) {
	if got := serve(t, newFake()).do("GET", "/health", ""); got.status != 200 || !strings.Contains(string(got.body), `"ok"`) {
		t.Errorf("GET /health = %d %s", got.status, got.body)
	}
}

// A limit of -1 and an empty stop string have no effect.
func TestEmptyLimits(t *testing.T) {
	fake := newFake()
	s := serve(t, fake)
	s.post("/v1/completions", `{"prompt":"a","max_tokens":-1,"stop":""}`)
	want := fake.last()
	s.post("/v1/completions", `{"prompt":"a"}`)
	if got := fake.last(); got.MaxTokens != want.MaxTokens || !slices.Equal(got.Stop, want.Stop) || want.MaxTokens != fakeContext-2 {
		t.Errorf("request with the fields = %+v, want the same as without: %+v", want, got)
	}
}

// The log shows only words of known APIs from a path that the server does not know.
func TestUnknownPathsAreLogged(t *testing.T) {
	s := serve(t, newFake())
	s.do("GET", "/v1/audio/secret?key=secret", "")
	s.do("GET", "/v1/models/tiny", "")
	log := s.log.String()
	if !strings.Contains(log, "route=other") || !strings.Contains(log, "path=/v1/audio/*") {
		t.Errorf("the log does not name the unknown path:\n%s", log)
	}
	if strings.Contains(log, "secret") || strings.Contains(log, "models/tiny") {
		t.Errorf("the log has a raw path:\n%s", log)
	}
}

func TestUnknownPath(t *testing.T) {
	for path, want := range map[string]string{
		"/v1/messages/count_tokens": "/v1/messages/count_tokens", "/api/tags/": "/api/tags", "/sk-123": "/*", "/": "/*", "": "/*",
		"/v1/CHAT/\x00": "/v1/*/*", strings.Repeat("/v1", 20): strings.Repeat("/v1", 8),
	} {
		if got := unknownPath(path); got != want {
			t.Errorf("unknownPath(%q) = %q, want %q", path, got, want)
		}
	}
}

func TestHostRefusalNamesTheFlag(t *testing.T) {
	got := serve(t, newFake()).do("GET", "/healthz", "", "Host", "elsewhere.example")
	if got.status != 403 || !strings.Contains(string(got.body), "--allowed-hosts") {
		t.Errorf("response = %d %s, want 403 that names --allowed-hosts", got.status, got.body)
	}
}

// The engine's error has the words of the server's own check.
func TestEngineContextErrorWords(t *testing.T) {
	fake := newFake()
	fake.submit = func(infer.Request) error { return &infer.ContextError{Prompt: 9, Context: 8} }
	got := serve(t, fake).post("/v1/completions", `{"prompt":"a"}`)
	if got.status != 400 || !strings.Contains(string(got.body), "prompt is too long: 9 tokens. This model's maximum context length is 8 tokens") {
		t.Errorf("response = %d %s", got.status, got.body)
	}
}
