package server

import (
	"strings"
	"testing"

	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

// TestTraces checks that a request and its generation each have a span in the client's trace, and that a stream still arrives
// piece by piece.
func TestTraces(t *testing.T) {
	recorder := tracetest.NewSpanRecorder()
	s := serve(t, newFake(), func(o *Options) { o.Tracing = trace.NewTracerProvider(trace.WithSpanProcessor(recorder)) })
	const traceID = "4bf92f3577b34da6a3ce929d0e0e4736"
	for _, end := range []string{"}", `,"stream":true}`} {
		got := s.post("/v1/chat/completions", `{"messages":[{"role":"user","content":"a secret"}]`+end, "traceparent", "00-"+traceID+"-00f067aa0ba902b7-01")
		if got.status != 200 {
			t.Fatalf("%d %s", got.status, got.body)
		}
	}
	if got := s.post("/v1/chat/completions", `{"messages":[]}`); got.status != 400 || !strings.Contains(string(got.body), `"param":"messages"`) {
		t.Errorf("an error = %d %s", got.status, got.body)
	}
	s.do("GET", "/healthz", "")
	eventually(t, "all spans have ended", func() bool { return len(recorder.Ended()) == 6 })
	names := map[string]int{}
	for _, span := range recorder.Ended() {
		names[span.Name()]++
		if names[span.Name()] <= 2 && span.SpanContext().TraceID().String() != traceID {
			t.Errorf("span %s is in trace %s", span.Name(), span.SpanContext().TraceID())
		}
		for _, attribute := range span.Attributes() {
			if strings.Contains(attribute.Value.Emit(), "secret") {
				t.Errorf("span %s holds %s", span.Name(), attribute.Key)
			}
		}
	}
	if names["generate"] != 3 || names["/v1/chat/completions"] != 3 {
		t.Errorf("spans %v", names)
	}
}
