package server

import (
	"strings"
	"testing"

	"prunellm/openapi"
)

// Every answer names the file that it is of, and its fingerprint changes with the file: a better one may give other text.
func TestAnswersNameTheirFile(t *testing.T) {
	fake := newFake()
	s := serve(t, fake)
	fingerprints := map[string]bool{}
	for _, stage := range []string{"quick", "refined"} {
		fake.stage = stage
		for path, body := range map[string]string{
			"/v1/chat/completions": `{` + hi + `}`,
			"/v1/completions":      `{"prompt":"Hi"}`,
			"/v1/responses":        `{"input":"Hi"}`,
			"/v1/messages":         `{"max_tokens":4,` + hi + `}`,
			"/v1/embeddings":       `{"input":"Hi"}`,
		} {
			for _, streamed := range []string{"", `,"stream":true`} {
				if path == "/v1/embeddings" && streamed != "" {
					continue
				}
				got := s.post(path, strings.TrimSuffix(body, "}")+streamed+"}")
				if h := got.header; got.status != 200 || h.Get("x-prunellm-stage") != stage || h.Get("x-prunellm-digest") != "file-"+stage || h.Get("x-prunellm-variant") != "tiny@0.2" {
					t.Errorf("%s%s: status %d, %q, %q of %q; want %s", path, streamed, got.status, h.Get("x-prunellm-stage"), h.Get("x-prunellm-digest"), h.Get("x-prunellm-variant"), stage)
				}
			}
		}
		var chat openapi.ChatResponse
		s.post("/v1/chat/completions", `{`+hi+`}`).decode(t, &chat)
		fingerprints[chat.SystemFingerprint] = true
	}
	if len(fingerprints) != 2 {
		t.Errorf("two files have the fingerprints %v, want two", fingerprints)
	}
	if log := s.log.String(); !strings.Contains(log, "stage=quick digest=file-quick") {
		t.Errorf("the log does not name the file:\n%s", log)
	}
}

// /readyz and /metrics say which file answers now, and /readyz what comes next.
func TestStageOfTheStartupVariant(t *testing.T) {
	fake := newFake()
	s := serve(t, fake)
	const metric = `prunellm_variant_stage{stage=`
	for _, status := range []Status{
		{Ready: true, Stage: "dense", Progress: "scoring: 40%"}, {Ready: true, Stage: "quick", Next: "refined: scoring: 40%"}, {Ready: true, Stage: "healed"},
	} {
		fake.status = status
		var health openapi.Health
		s.do("GET", "/readyz", "").decode(t, &health)
		if health != (openapi.Health{Status: "ready", Progress: status.Progress, Stage: status.Stage, Next: status.Next}) {
			t.Errorf("readyz of %+v = %+v", status, health)
		}
		if got := string(s.do("GET", "/metrics", "").body); strings.Count(got, metric) != 1 || !strings.Contains(got, metric+`"`+status.Stage+`"} 1`) {
			t.Errorf("metrics lack the stage %s alone", status.Stage)
		}
	}
	fake.status = Status{}
	if got := string(s.do("GET", "/metrics", "").body); strings.Contains(got, metric) {
		t.Error("metrics have a stage before anything answers")
	}
}
