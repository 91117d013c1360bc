// Package tracing sends the server's traces to an OpenTelemetry collector (OTLP over HTTP).
//
// # Errors
//
// If the collector is unreachable, only traces are lost. The log reports when traces begin to be lost and when they arrive again.
package tracing

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.26.0"
	"go.opentelemetry.io/otel/trace"
)

// closeTimeout bounds the time to send the last traces.
const closeTimeout = 3 * time.Second

// Options are the settings of tracing.
type Options struct {
	Endpoint string              // URL of an OpenTelemetry collector; "": the environment's
	Getenv   func(string) string // of OTEL_EXPORTER_OTLP_*
	Version  string              // of prunellm
	Log      *slog.Logger
}

// Open returns the provider that sends traces to the collector, or nil if neither options nor environment name one. The caller
// calls closeTracing, which sends the last traces.
func Open(ctx context.Context, o Options) (provider trace.TracerProvider, closeTracing func(), err error) {
	var options []otlptracehttp.Option
	switch {
	case o.Endpoint != "":
		endpoint := strings.TrimSuffix(o.Endpoint, "/")
		if !strings.HasSuffix(endpoint, "/v1/traces") {
			endpoint += "/v1/traces"
		}
		options = append(options, otlptracehttp.WithEndpointURL(endpoint))
	case o.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") == "" && o.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") == "":
		return nil, func() {}, nil
	}
	exporter, err := otlptracehttp.New(ctx, options...)
	if err != nil {
		return nil, nil, fmt.Errorf("--otlp-endpoint: %w", err)
	}
	about, err := resource.New(ctx, resource.WithFromEnv(), resource.WithTelemetrySDK(),
		resource.WithAttributes(semconv.ServiceName("prunellm"), semconv.ServiceVersion(o.Version)))
	if err != nil {
		return nil, nil, fmt.Errorf("describe this process for traces: %w", err)
	}
	sdk := sdktrace.NewTracerProvider(sdktrace.WithBatcher(&loggingExporter{SpanExporter: exporter, log: o.Log}), sdktrace.WithResource(about))
	return sdk, func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		if err := sdk.Shutdown(ctx); err != nil {
			o.Log.Warn("last traces not sent", "error", err)
		}
	}, nil
}

// loggingExporter logs when traces begin to be lost and when they arrive again, because the SDK passes such errors only to Go's
// own logger. The SDK never calls it from two goroutines at the same time.
type loggingExporter struct {
	sdktrace.SpanExporter
	log     *slog.Logger
	failing bool
}

// ExportSpans implements sdktrace.SpanExporter.
func (e *loggingExporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	err := e.SpanExporter.ExportSpans(ctx, spans)
	switch failed := err != nil; {
	case failed == e.failing:
	case failed:
		e.log.Warn("traces not sent", "spans", len(spans), "error", err)
	default:
		e.log.Info("traces are sent again")
	}
	e.failing = err != nil
	return err
}
