package bench

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

// fake streams answers as a server would: a role, tokens of text, usage, the end.
type fake struct {
	*httptest.Server
	mu     sync.Mutex
	bodies []chatBody
	fail   func(number int) bool // of the request, from 0
	most   int                   // largest number of concurrent requests
	now    int
}

func newFake(t testing.TB) *fake {
	f := &fake{}
	f.Server = httptest.NewServer(http.HandlerFunc(f.serve))
	t.Cleanup(f.Close)
	return f
}

func (f *fake) target(name string) Target { return Target{Name: name, URL: f.URL + "/v1", Model: "m"} }

func (f *fake) serve(w http.ResponseWriter, r *http.Request) {
	var body chatBody
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil || r.URL.Path != "/v1/chat/completions" {
		http.Error(w, "bad request", http.StatusBadRequest)
		return
	}
	f.mu.Lock()
	number := len(f.bodies)
	f.bodies = append(f.bodies, body)
	f.now++
	f.most = max(f.most, f.now)
	failing := f.fail != nil && f.fail(number)
	f.mu.Unlock()
	defer func() { f.mu.Lock(); f.now--; f.mu.Unlock() }()
	if failing {
		http.Error(w, `{"error": {"message": "queue is full"}}`, http.StatusTooManyRequests)
		return
	}
	stream(w, body.MaxTokens)
}

func stream(w http.ResponseWriter, tokens int) {
	w.Header().Set("Content-Type", "text/event-stream")
	flush := w.(http.Flusher).Flush
	fmt.Fprint(w, ": a comment\n\ndata: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}],\"usage\":null}\n\n")
	flush()
	for i := range tokens {
		fmt.Fprintf(w, "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" t%d\"},\"finish_reason\":null}]}\n\n", i)
		flush()
	}
	fmt.Fprintf(w, "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":11,\"completion_tokens\":%d}}\n\ndata: [DONE]\n\n", tokens)
}

// plan returns a small plan with two closed loads.
func plan() Plan {
	return Plan{
		Loads: []Load{{Streams: 1}, {Streams: 3}}, Rounds: 2, Requests: 4, Warmup: 1,
		Prompt: Exactly(5), Answer: Exactly(6), Seed: 1, Timeout: time.Minute,
	}
}
