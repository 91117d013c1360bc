package tracing

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

func TestOpenSendsSpans(t *testing.T) {
	var path atomic.Value
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { path.Store(r.URL.Path) }))
	defer collector.Close()
	none := func(string) string { return "" }
	for _, endpoint := range []string{collector.URL, collector.URL + "/", collector.URL + "/v1/traces"} {
		path.Store("")
		provider, closeTracing, err := Open(t.Context(), Options{Endpoint: endpoint, Getenv: none, Version: "1", Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		_, span := provider.Tracer("test").Start(t.Context(), "work")
		span.End()
		closeTracing()
		if got := path.Load(); got != "/v1/traces" {
			t.Errorf("%s: the collector got a request for %q, want /v1/traces", endpoint, got)
		}
	}
	provider, closeTracing, err := Open(t.Context(), Options{Getenv: none})
	if closeTracing(); provider != nil || err != nil {
		t.Errorf("without an endpoint Open = %v, %v, want nothing", provider, err)
	}
}

type brokenExporter struct{ err error }

func (b *brokenExporter) ExportSpans(context.Context, []sdktrace.ReadOnlySpan) error { return b.err }
func (b *brokenExporter) Shutdown(context.Context) error                             { return nil }

func TestLossIsLoggedOnce(t *testing.T) {
	var logged bytes.Buffer
	broken := &brokenExporter{err: errors.New("connection refused")}
	exporter := &loggingExporter{SpanExporter: broken, log: slog.New(slog.NewTextHandler(&logged, nil))}
	for range 3 {
		if err := exporter.ExportSpans(t.Context(), nil); err == nil {
			t.Error("the error is lost")
		}
	}
	broken.err = nil
	for range 3 {
		if err := exporter.ExportSpans(t.Context(), nil); err != nil {
			t.Error(err)
		}
	}
	if text := logged.String(); strings.Count(text, "traces not sent") != 1 || strings.Count(text, "traces are sent again") != 1 {
		t.Errorf("logged %q, want one line for each change", text)
	}
}
