package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.26.0"
	"go.opentelemetry.io/otel/trace"
)

// traceTimeout bounds how long the last traces may take to be sent.
const traceTimeout = 3 * time.Second

// tracing sends traces to the collector that flags or environment name; nil when none is. A collector that does not
// answer costs nothing but its traces.
func (f *frontFlags) tracing(ctx context.Context, getenv func(string) string, log *slog.Logger) (trace.TracerProvider, func(), error) {
	var options []otlptracehttp.Option
	switch {
	case f.OTLPEndpoint != "":
		endpoint := strings.TrimSuffix(f.OTLPEndpoint, "/")
		if !strings.HasSuffix(endpoint, "/v1/traces") {
			endpoint += "/v1/traces"
		}
		options = append(options, otlptracehttp.WithEndpointURL(endpoint))
	case getenv("OTEL_EXPORTER_OTLP_ENDPOINT") == "" && getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") == "":
		return nil, func() {}, nil
	}
	exporter, err := otlptracehttp.New(ctx, options...)
	if err != nil {
		return nil, nil, fmt.Errorf("--otlp-endpoint: %w", err)
	}
	about, err := resource.New(ctx, resource.WithFromEnv(), resource.WithTelemetrySDK(), resource.WithAttributes(serviceAttributes()...))
	if err != nil {
		return nil, nil, fmt.Errorf("describe this process for traces: %w", err)
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(&toldExporter{SpanExporter: exporter, log: log}), sdktrace.WithResource(about))
	return provider, func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), traceTimeout)
		defer cancel()
		if err := provider.Shutdown(ctx); err != nil {
			log.Warn("last traces not sent", "error", err)
		}
	}, nil
}

// toldExporter tells the log when traces begin to be lost and when they arrive again: the SDK gives such errors to nobody
// but Go's own logger. The SDK never calls it from two goroutines at once.
type toldExporter struct {
	sdktrace.SpanExporter
	log     *slog.Logger
	failing bool
}

// ExportSpans implements sdktrace.SpanExporter.
func (e *toldExporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
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

// serviceAttributes name this process in traces.
func serviceAttributes() []attribute.KeyValue {
	return []attribute.KeyValue{semconv.ServiceName("prunellm"), semconv.ServiceVersion(version)}
}
