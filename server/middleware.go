package server

import (
	"bufio"
	"cmp"
	"fmt"
	"log/slog"
	"mime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"
	"github.com/valyala/fasthttp"

	"prunellm/openapi"
)

const (
	headerRequestID = "X-Request-Id"
	// The same header under Anthropic's name.
	headerAnthropicRequestID = "Request-Id"
	headerVariant            = "X-Prunellm-Variant"
	// Which of the variant's files answered: the card of the model's entry has the same values.
	headerStage  = "X-Prunellm-Stage"
	headerDigest = "X-Prunellm-Digest"
	// The types of tools and input items that the server left out of the request, separated by commas.
	headerSkippedTools = "X-Prunellm-Skipped-Tools"
	headerSkippedItems = "X-Prunellm-Skipped-Items"
	// Of the rate limit, as OpenAI names them.
	headerLimit     = "X-Ratelimit-Limit-Requests"
	headerRemaining = "X-Ratelimit-Remaining-Requests"
	headerWait      = "X-Prunellm-Wait" // "false": respond with 503 instead of waiting while a variant is made
	localStream     = "stream"          // a fasthttp.StreamWriter, see observe
	localRequestID  = "request_id"
)

func newRequestID() string { return "req_" + strings.ReplaceAll(uuid.NewString(), "-", "") }

// requestID returns the current request's id. The first call creates it.
func requestID(c *fiber.Ctx) string {
	if id, ok := c.Locals(localRequestID).(string); ok {
		return id
	}
	id := newRequestID()
	c.Locals(localRequestID, id)
	c.Set(headerRequestID, id)
	if dialectOf(c.Path()) == anthropic {
		c.Set(headerAnthropicRequestID, id)
	}
	return id
}

// outermost wraps fiber itself. A panic in fiber would end the process, fiber answers unknown methods in plain text,
// and it accepts requests whose length is ambiguous.
func (s *Server) outermost(next fasthttp.RequestHandler) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		defer func() {
			if reason := recover(); reason != nil {
				s.answerPanic(ctx, reason)
			}
		}()
		s.origins.mark(ctx)
		misframed := misframed(&ctx.Request.Header)
		if !misframed && knownMethod(string(ctx.Method())) {
			next(ctx)
			return
		}
		c := s.app.AcquireCtx(ctx)
		defer s.app.ReleaseCtx(c)
		if misframed {
			_ = s.refuseMisframed(c)
			return
		}
		requestID(c)
		_ = writeFailure(c, fromFiber(fiber.ErrMethodNotAllowed))
	}
}

// answerPanic logs a panic outside the handlers and responds with 500.
func (s *Server) answerPanic(ctx *fasthttp.RequestCtx, reason any) {
	id := cmp.Or(string(ctx.Response.Header.Peek(headerRequestID)), newRequestID())
	s.log.Error("panic outside the handlers", "request_id", id, "panic", fmt.Sprint(reason), "stack", string(debug.Stack()))
	failure := internalFailure(id)
	dialect := dialectOf(string(ctx.Path()))
	body, _ := marshal(dialect.errorBody(failure.body, id)) // made of strings only, so marshal cannot fail
	ctx.Response.Reset()
	s.origins.mark(ctx)
	ctx.Response.Header.Set(headerRequestID, id)
	if dialect == anthropic {
		ctx.Response.Header.Set(headerAnthropicRequestID, id)
	}
	ctx.SetContentType(fiber.MIMEApplicationJSON)
	ctx.SetStatusCode(failure.body.Status())
	ctx.SetBody(body)
}

func knownMethod(method string) bool {
	for _, known := range fiber.DefaultMethods {
		if method == known {
			return true
		}
	}
	return false
}

// observe sets the request's id, turns panics into errors and errors into responses, then counts and logs. A stream is
// logged when it ends.
func (s *Server) observe(c *fiber.Ctx) error {
	start := time.Now()
	id := requestID(c)
	err := s.protected(c)
	if err != nil {
		if err = s.handleError(c, err); err != nil {
			return err
		}
	}
	route := c.Route().Path // the route's pattern, because a path may hold anything
	if route == "/" && c.Path() != "/" {
		route = unknownRoute
	}
	if len(c.Response().Header.Peek(fiber.HeaderAccessControlAllowMethods)) > 0 {
		route = preflightRoute
	}
	status := c.Response().StatusCode()
	method := strings.Clone(c.Method()) // fiber's strings point into a buffer that the next request overwrites
	s.metrics.requests.WithLabelValues(method, route, fmt.Sprint(status)).Inc()
	level := slog.LevelInfo
	if quietRoute(route) {
		level = slog.LevelDebug
	}
	attributes := []any{"request_id", id, "method", method, "route", route, "status", status}
	if route == unknownRoute {
		attributes = append(attributes, "path", unknownPath(c.Path()))
	}
	report := func() { s.log.Log(s.base, level, "request", append(attributes, "duration", time.Since(start))...) }
	stream, ok := c.Locals(localStream).(fasthttp.StreamWriter)
	if !ok {
		report()
		return nil
	}
	// Not earlier: a middleware that reads the body's size would read the stream to its end.
	logged := func(w *bufio.Writer) {
		defer report()
		stream(w)
	}
	if c.Request().Header.IsHTTP11() {
		c.Context().SetBodyStreamWriter(logged)
	} else {
		writeUnchunked(c.Context(), logged)
	}
	return nil
}

// quietRoute reports whether probes poll a route so often that the log leaves it out.
func quietRoute(route string) bool {
	return route == "/healthz" || route == "/health" || route == "/readyz" || route == "/metrics" || route == pageFileRoute || route == preflightRoute
}

func (s *Server) protected(c *fiber.Ctx) (err error) {
	defer func() {
		if reason := recover(); reason != nil {
			err = fmt.Errorf("panic in handler: %v\n%s", reason, debug.Stack())
		}
	}()
	return c.Next()
}

// requireJSON refuses content types that a page of another origin could send without a preflight request (forms, plain
// text), and compressed bodies.
func requireJSON(c *fiber.Ctx) error {
	kind, params, err := mime.ParseMediaType(string(c.Request().Header.ContentType()))
	charset := params["charset"]
	if err != nil || kind != fiber.MIMEApplicationJSON || (charset != "" && !strings.EqualFold(charset, "utf-8")) {
		return unsupportedMedia("send the body with Content-Type: application/json")
	}
	if encoding := c.Request().Header.ContentEncoding(); len(encoding) > 0 && !strings.EqualFold(string(encoding), "identity") {
		return unsupportedMedia("send the body without Content-Encoding")
	}
	return c.Next()
}

// refusal is an error that has its HTTP form already.
type refusal struct{ failure }

// Error implements error.
func (r *refusal) Error() string { return r.body.Message }

func refuse(kind, code, message string) error {
	return &refusal{failure{body: openapi.NewError(kind, "", code, message)}}
}

func unsupportedMedia(message string) error {
	return refuse(openapi.TypeInvalidRequest, openapi.CodeUnsupportedType, message)
}
