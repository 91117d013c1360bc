package server

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"prunellm/openapi"
)

func TestLimiter(t *testing.T) {
	now := time.Unix(1000, 0)
	l := newLimiter(3)
	l.clock = func() time.Time { return now }
	ask := func(client string) string {
		ok, left, again := l.allow(client)
		return fmt.Sprint(ok, left, again)
	}
	for i, want := range []string{"true 2 0s", "true 1 0s", "true 0 0s", "false 0 20s"} {
		if got := ask("a"); got != want {
			t.Errorf("request %d: %s, want %s", i, got, want)
		}
	}
	if got := ask("b"); got != "true 2 0s" {
		t.Errorf("another client: %s", got)
	}
	now = now.Add(20 * time.Second)
	if got := ask("a"); got != "true 0 0s" {
		t.Errorf("after a third of a minute: %s", got)
	}
}

func TestLimiterForgets(t *testing.T) {
	l := newLimiter(1)
	l.clock = func() time.Time { return time.Unix(1000, 0) }
	for i := range 2 * maxLimited {
		l.allow(fmt.Sprint(i))
	}
	if n := len(l.clients); n > maxLimited {
		t.Errorf("%d clients remembered, want at most %d", n, maxLimited)
	}
}

// TestRateLimit checks that a key without allowance gets 429 and Retry-After, and that other keys are not affected.
func TestRateLimit(t *testing.T) {
	s := serve(t, newFake(), func(o *Options) {
		o.RateLimit = 2
		o.APIKeys = func() []string { return []string{"a", "b"} }
	})
	ask := func(key string) reply {
		return s.post("/v1/chat/completions", `{"messages":[{"role":"user","content":"Hi"}]}`, "Authorization", "Bearer "+key)
	}
	if first := ask("a"); first.status != 200 || first.header.Get("X-Ratelimit-Remaining-Requests") != "1" {
		t.Errorf("first request = %d, %s", first.status, first.header)
	}
	ask("a")
	third := ask("a")
	var body openapi.ErrorBody
	third.decode(t, &body)
	if third.status != http.StatusTooManyRequests || third.header.Get("Retry-After") == "" || *body.Error.Code != openapi.CodeRateLimit {
		t.Errorf("third request = %d %s", third.status, third.body)
	}
	if got := ask("b"); got.status != 200 {
		t.Errorf("another key = %d", got.status)
	}
	if got := s.do("GET", "/v1/models", "", "x-api-key", "a"); got.status != 200 {
		t.Errorf("a list of models = %d", got.status)
	}
}
