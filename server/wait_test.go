package server

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"prunellm/openapi"
)

// TestPingsWhileAVariantIsMade checks that a stream begins before its variant is loaded, and ends with the answer.
func TestPingsWhileAVariantIsMade(t *testing.T) {
	made := make(chan struct{})
	fake := newFake()
	fake.acquire = func(ctx context.Context, _ openapi.ModelName) error {
		select {
		case <-made:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	s := serve(t, fake)
	for _, path := range []string{"/v1/chat/completions", "/v1/responses"} {
		made = make(chan struct{})
		res, err := s.client.Post(s.url+path, "application/json", strings.NewReader(`{"model":"tiny@0.3","input":"Hi","messages":[{"role":"user","content":"Hi"}],"stream":true}`))
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewReader(res.Body)
		for range 3 {
			if line, err := lines.ReadString('\n'); err != nil || line != ": ping\n" {
				t.Fatalf("%s: line %q, %v", path, line, err)
			}
			_, _ = lines.ReadString('\n')
		}
		close(made)
		rest, err := io.ReadAll(lines)
		res.Body.Close()
		if err != nil || res.StatusCode != 200 || !strings.Contains(string(rest), "tiny@0.3") {
			t.Errorf("%s: %d, %v, %s", path, res.StatusCode, err, rest)
		}
	}
	eventually(t, "the variant is released", func() bool { return fake.acquired.Load() == fake.released.Load() })
}

// TestErrorWhileAVariantIsMade checks that an error is the last event of a stream that has begun.
func TestErrorWhileAVariantIsMade(t *testing.T) {
	failed := make(chan struct{})
	fake := newFake()
	fake.acquire = func(context.Context, openapi.ModelName) error {
		<-failed
		return &RatioError{Ratio: 0.4, Max: 0.3}
	}
	s := serve(t, fake)
	res, err := s.client.Post(s.url+"/v1/chat/completions", "application/json", strings.NewReader(`{"messages":[{"role":"user","content":"Hi"}],"stream":true}`))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	close(failed)
	body, err := io.ReadAll(res.Body)
	if err != nil || !strings.Contains(string(body), openapi.CodeInvalidRatio) {
		t.Errorf("%d %v %s", res.StatusCode, err, body)
	}
}

// TestNoWait checks that a client that does not want to wait gets 503 and Retry-After while the variant is being made.
func TestNoWait(t *testing.T) {
	asked := make(chan struct{}, 16)
	ready := false
	fake := newFake()
	fake.acquire = func(ctx context.Context, _ openapi.ModelName) error {
		asked <- struct{}{}
		if ready {
			return nil
		}
		<-ctx.Done()
		return ctx.Err()
	}
	s := serve(t, fake)
	body := `{"messages":[{"role":"user","content":"Hi"}]`
	for _, header := range [][2]string{{"Prefer", "wait=5, respond-async"}, {"X-Prunellm-Wait", "false"}} {
		for _, end := range []string{"}", `,"stream":true}`} {
			got := s.post("/v1/chat/completions", body+end, header[0], header[1])
			if got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" {
				t.Errorf("%s%s with %s = %d %s", body, end, header, got.status, got.body)
			}
			<-asked
		}
	}
	ready = true
	if got := s.post("/v1/chat/completions", body+"}", "X-Prunellm-Wait", "false"); got.status != 200 {
		t.Errorf("a loaded variant = %d %s", got.status, got.body)
	}
}
