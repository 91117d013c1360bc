package server

import (
	"context"

	"github.com/gofiber/contrib/otelfiber/v2"
	"github.com/gofiber/fiber/v2"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// traced adds a span for each request except health checks, which probes poll every few seconds. Spans carry no
// prompts, answers or keys.
func (s *Server) traced() fiber.Handler {
	return otelfiber.Middleware(
		otelfiber.WithTracerProvider(s.options.Tracing),
		otelfiber.WithMeterProvider(noop.NewMeterProvider()), // Prometheus counts requests
		otelfiber.WithPropagators(propagation.TraceContext{}),
		otelfiber.WithCollectClientIP(false),
		otelfiber.WithNext(func(c *fiber.Ctx) bool { return quietRoute(c.Path()) }),
	)
}

// span begins the span of a job, which for a stream outlives its request's span. It returns nil without tracing.
func (j *job) span(c *fiber.Ctx) trace.Span {
	tracing := j.server.options.Tracing
	if tracing == nil {
		return nil
	}
	_, span := tracing.Tracer("prunellm/server").Start(context.WithoutCancel(c.UserContext()), "generate")
	span.SetAttributes(attribute.String("prunellm.request_id", j.requestID))
	return span
}

// endSpan adds the outcome of the job to its span.
func (j *job) endSpan(span trace.Span) {
	if span == nil {
		return
	}
	if j.variant != nil {
		span.SetAttributes(attribute.String("prunellm.variant", j.variant.Name), attribute.String("prunellm.digest", j.variant.Digest))
	}
	if j.tally != nil {
		usage := j.tally.total()
		span.SetAttributes(
			attribute.Int("gen_ai.usage.input_tokens", usage.PromptTokens),
			attribute.Int("gen_ai.usage.output_tokens", usage.CompletionTokens),
			attribute.Float64("prunellm.time_to_first_token_seconds", j.tally.first.Seconds()),
			attribute.Bool("prunellm.complete", j.tally.complete()),
		)
		if !j.tally.complete() {
			span.SetStatus(codes.Error, "not finished")
		}
	}
	span.End()
}
