package e2e

import (
	"compress/gzip"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	"google.golang.org/protobuf/proto"

	"prunellm/internal/e2e/program"
	"prunellm/internal/tinymodel"
)

// span is a span that the collector received.
type span struct {
	service, name, trace, id, parent string
	attributes                       map[string]*commonpb.AnyValue
}

// collector is an OpenTelemetry collector that accepts traces as OTLP over HTTP.
type collector struct {
	*httptest.Server
	mu    sync.Mutex
	raw   []byte // all bodies, decompressed
	spans []span
	paths []string
}

func newCollector(t *testing.T) *collector {
	t.Helper()
	c := &collector{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := c.take(r); err != nil {
			t.Errorf("%s %s (%s): %v", r.Method, r.URL.Path, r.Header.Get("Content-Type"), err)
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		body, err := proto.Marshal(&collectorpb.ExportTraceServiceResponse{})
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "application/x-protobuf")
		_, _ = w.Write(body)
	}))
	t.Cleanup(c.Close)
	return c
}

func (c *collector) take(r *http.Request) error {
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		unpacked, err := gzip.NewReader(body)
		if err != nil {
			return err
		}
		body = unpacked
	}
	raw, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	var request collectorpb.ExportTraceServiceRequest
	if err := proto.Unmarshal(raw, &request); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.raw = append(c.raw, raw...)
	c.paths = append(c.paths, r.Method+" "+r.URL.Path)
	for _, resource := range request.ResourceSpans {
		service := attributes(resource.Resource.Attributes)["service.name"].GetStringValue()
		for _, scope := range resource.ScopeSpans {
			for _, s := range scope.Spans {
				c.spans = append(c.spans, span{
					service: service, name: s.Name, trace: hex.EncodeToString(s.TraceId), id: hex.EncodeToString(s.SpanId),
					parent: hex.EncodeToString(s.ParentSpanId), attributes: attributes(s.Attributes),
				})
			}
		}
	}
	return nil
}

func attributes(list []*commonpb.KeyValue) map[string]*commonpb.AnyValue {
	out := map[string]*commonpb.AnyValue{}
	for _, kv := range list {
		out[kv.Key] = kv.Value
	}
	return out
}

// of returns the spans of a trace by name.
func (c *collector) of(trace string) map[string][]span {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := map[string][]span{}
	for _, s := range c.spans {
		if s.trace == trace {
			out[s.name] = append(out[s.name], s)
		}
	}
	return out
}

// tracedChat sends a chat request in the client's trace.
func tracedChat(t *testing.T, s *program.Instance, trace, body string) {
	t.Helper()
	request, err := http.NewRequest(http.MethodPost, s.Base+"/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Traceparent", "00-"+trace+"-00f067aa0ba902b7-01")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if text, err := io.ReadAll(response.Body); err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("chat = %d %s, %v", response.StatusCode, text, err)
	}
}

// The binary sends the spans of chats, streamed or not, to a collector. They are in the client's trace, with the generation's
// span below the request's, and have counts and names, but no prompts.
func TestTracesReachACollector(t *testing.T) {
	model := filepath.Join(t.TempDir(), "tiny.gguf")
	if err := tinymodel.Write(model, tinymodel.Options{}); err != nil {
		t.Fatal(err)
	}
	const (
		plain    = "4bf92f3577b34da6a3ce929d0e0e4736"
		streamed = "5bf92f3577b34da6a3ce929d0e0e4736"
	)
	ends := newCollector(t)
	s := program.Start(t, "--model", model, "--ratio", "0", "--cache-dir", t.TempDir(), "--otlp-endpoint", ends.URL)
	s.WaitReady(program.WarmLimit)
	const body = `{"messages":[{"role":"user","content":"secret garden"}],"max_tokens":5,"ignore_eos":true`
	tracedChat(t, s, plain, body+`}`)
	tracedChat(t, s, streamed, body+`,"stream":true}`)
	// The server sends them in batches while it runs, not only at its end.
	s.WaitFor("the spans of both have arrived", time.Minute, func() bool {
		return len(ends.of(plain)["generate"]) == 1 && len(ends.of(streamed)["generate"]) == 1
	})
	for _, trace := range []string{plain, streamed} {
		spans := ends.of(trace)
		requests, generations := spans["/v1/chat/completions"], spans["generate"]
		if len(requests) != 1 || len(generations) != 1 {
			t.Fatalf("trace %s has the spans %v, want a request and a generation", trace, spans)
		}
		request, generation := requests[0], generations[0]
		if request.service != "prunellm" || request.parent != "00f067aa0ba902b7" || generation.parent != request.id {
			t.Errorf("service %q; request %s below %s; generation below %s", request.service, request.id, request.parent, generation.parent)
		}
		a := generation.attributes
		if a["prunellm.variant"].GetStringValue() != "tiny@0" || a["gen_ai.usage.output_tokens"].GetIntValue() != 5 ||
			a["gen_ai.usage.input_tokens"].GetIntValue() < 1 || a["prunellm.time_to_first_token_seconds"].GetDoubleValue() <= 0 ||
			!a["prunellm.complete"].GetBoolValue() || !strings.HasPrefix(a["prunellm.request_id"].GetStringValue(), "req_") {
			t.Errorf("the generation's attributes are %v", a)
		}
	}
	s.Stop()
	ends.mu.Lock()
	defer ends.mu.Unlock()
	if strings.Contains(string(ends.raw), "secret") {
		t.Error("the traces contain the prompt")
	}
	for _, path := range ends.paths {
		if path != "POST /v1/traces" {
			t.Errorf("the collector received a request for %s", path)
		}
	}
}

// If the collector is unreachable, only the traces are lost: the server answers requests and stops in time.
func TestUnreachableCollector(t *testing.T) {
	model := filepath.Join(t.TempDir(), "tiny.gguf")
	if err := tinymodel.Write(model, tinymodel.Options{}); err != nil {
		t.Fatal(err)
	}
	s := program.Start(t, "--model", model, "--ratio", "0", "--cache-dir", t.TempDir(), "--otlp-endpoint", "http://"+program.FreeAddr(t))
	s.WaitReady(program.WarmLimit)
	tracedChat(t, s, "4bf92f3577b34da6a3ce929d0e0e4736", `{"messages":[{"role":"user","content":"Hi"}],"max_tokens":5}`)
	s.Stop()
	if got := strings.Count(s.Stderr.String(), "traces not sent"); got != 1 {
		t.Errorf("the log reports lost traces %d times, want once", got)
	}
}
