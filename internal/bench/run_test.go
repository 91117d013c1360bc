package bench

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// Targets alternate, receive the same requests, and all their answers count.
func TestRun(t *testing.T) {
	first, second := newFake(t), newFake(t)
	var turns []string
	report, err := Run(t.Context(), []Target{first.target("a"), second.target("b")}, plan(), func(load Load, round int, target string) {
		turns = append(turns, fmt.Sprintf("%d%d%s", load.Streams, round, target))
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(turns, " "), "10a 10b 11b 11a 30a 30b 31b 31a"; got != want {
		t.Errorf("turns = %s, want %s", got, want)
	}
	if len(report.Results) != 4 {
		t.Fatalf("%d results, want one for each load and target", len(report.Results))
	}
	for i, r := range report.Results {
		if r.Completed != 8 || r.Failed != 0 || r.OutputTokens != 48 || r.PromptTokens != 88 {
			t.Errorf("result %d = %+v, want 8 answers of 6 tokens on prompts of 11", i, r)
		}
		if !(r.TTFT.P50() > 0 && r.TTFT.P50() <= r.E2E.P50() && r.ITL.P50() <= r.ITL.P99() && r.OutputThroughput > 0 && r.TotalThroughput > r.OutputThroughput) {
			t.Errorf("result %d has impossible figures: %+v", i, r)
		}
		if (r.Ratios == nil) != (i%2 == 0) {
			t.Errorf("result %d has ratios %v, want them for all but the first target", i, r.Ratios)
		}
	}
	if ratio := report.Results[1].Ratios[ratioOutput]; !(ratio.Low > 0 && ratio.Low <= ratio.Median && ratio.Median <= ratio.High) {
		t.Errorf("ratio = %+v, want low, median and high in order", ratio)
	}
	prompts := map[string]int{}
	for _, body := range first.bodies {
		prompts[body.Messages[0].Content]++
	}
	for _, body := range second.bodies {
		prompts[body.Messages[0].Content]--
		if !body.Stream || !body.IgnoreEOS || body.Model != "m" || len(strings.Fields(body.Messages[0].Content)) != 5 {
			t.Errorf("request = %+v, want a stream of fixed length for 5 words", body)
		}
	}
	for text, difference := range prompts {
		if difference != 0 {
			t.Errorf("prompt %q was sent %d times more to one target", text, difference)
		}
	}
	if first.most > 3 {
		t.Errorf("%d concurrent requests, want at most 3 streams", first.most)
	}
}

// Failed requests are counted. If all fail, Run returns the reason.
func TestFailures(t *testing.T) {
	f := newFake(t)
	f.fail = func(number int) bool { return number%2 == 1 }
	report, err := Run(t.Context(), []Target{f.target("a")}, plan(), nil)
	if err != nil {
		t.Fatal(err)
	}
	r := report.Results[0]
	if r.Completed+r.Failed != 8 || r.Failed < 3 || !strings.Contains(r.FirstError, "429") {
		t.Errorf("result = %d whole, %d failed, %q, want about half failed with a 429", r.Completed, r.Failed, r.FirstError)
	}
	f.fail = func(number int) bool { return true }
	if _, err = Run(t.Context(), []Target{f.target("a")}, plan(), nil); err == nil || !strings.Contains(err.Error(), "queue is full") {
		t.Errorf("Run = %v, want the server's reason", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Run(ctx, []Target{f.target("a")}, plan(), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("Run = %v, want context.Canceled", err)
	}
}

// Arrivals do not wait for answers, and are the same for the same seed.
func TestOpenLoop(t *testing.T) {
	f := newFake(t)
	p := plan()
	p.Loads, p.Requests = []Load{{Rate: 200}}, 20
	report, err := Run(t.Context(), []Target{f.target("a")}, p, nil)
	if err != nil {
		t.Fatal(err)
	}
	if r := report.Results[0]; r.Completed != 40 {
		t.Errorf("%d answers, want 40", r.Completed)
	}
	requests, again := p.round(0, 1), p.round(0, 1)
	mean := float64(requests[len(requests)-1].at) / float64(len(requests)-1) / float64(time.Second)
	if mean < 0.001 || mean > 0.02 {
		t.Errorf("mean gap of arrivals = %v s, want about 1/200", mean)
	}
	for i := range requests {
		if requests[i] != again[i] {
			t.Errorf("request %d differs between two draws", i)
		}
	}
}

// A stream without [DONE] or without text is a failure.
func TestBrokenStreams(t *testing.T) {
	for _, body := range []string{
		"data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n",
		"data: {\"choices\":[{\"delta\":{\"content\":\"\"}}]}\n\ndata: [DONE]\n\n",
		"data: {\"error\":{\"message\":\"no more\"}}\n\n",
		"data: {\"usage\":{\"prompt_tokens\":-1}}\n\n",
		"data: " + strings.Repeat("x", maxEventBytes+1),
	} {
		s := Sample{Begin: time.Now()}
		if err := s.read(strings.NewReader(body), 1); err == nil {
			t.Errorf("read(%.60q) succeeded", body)
		}
	}
}

// BenchmarkStream reads one answer from memory, to measure the client's own cost per token.
func BenchmarkStream(b *testing.B) {
	recorder := httptest.NewRecorder()
	stream(recorder, 256)
	text := recorder.Body.String()
	b.ReportAllocs()
	for b.Loop() {
		s := Sample{Begin: time.Now()}
		if err := s.read(strings.NewReader(text), 256); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(256*float64(b.N)/b.Elapsed().Seconds(), "tokens/s")
}

// A response that is not a stream, or not a complete one, gives an error that says so.
func TestResponsesThatAreNotStreams(t *testing.T) {
	for name, test := range map[string]struct{ kind, body, want string }{
		"page":      {"text/html", "<html>\n<p>Welcome</p>", `the response is not a stream of events (Content-Type "text/html")`},
		"whole":     {"application/json", `{"choices":[{"message":{"content":"a"}}]}`, `not a stream of events (Content-Type "application/json")`},
		"nothing":   {"text/event-stream", "", "not a stream of events"},
		"cut":       {"text/event-stream", "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n", "before its [DONE]"},
		"long line": {"text/event-stream", "data: " + strings.Repeat("x", maxEventBytes+1), "a line of the stream has more than 1048576 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", test.kind)
				fmt.Fprint(w, test.body)
			}))
			defer server.Close()
			_, err := Run(t.Context(), []Target{{Name: "a", URL: server.URL + "/v1", Model: "m"}}, plan(), nil)
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("Run = %v, want %q", err, test.want)
			}
		})
	}
}
