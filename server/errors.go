package server

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"prunellm/infer"
	"prunellm/internal/chat"
	"prunellm/openapi"
)

// failure is the HTTP form of an error. The code in its body determines the status.
type failure struct {
	body       *openapi.Error
	retryAfter time.Duration // 0: no Retry-After header
	hidden     bool          // body does not show the cause, so the log must
}

// classify maps Go errors to HTTP. It is the only place that does; openapi.Codes has the status of each code.
func classify(err error, requestID string) failure {
	var (
		wire     *openapi.Error
		notReady *NotReadyError
		conflict *ConflictError
		ratio    *RatioError
		tooLong  *infer.ContextError
		param    *infer.ParameterError
		http     *fiber.Error
		refused  *refusal
	)
	invalid := func(param, code string) failure {
		return failure{body: openapi.NewError(openapi.TypeInvalidRequest, param, code, err.Error())}
	}
	switch {
	case errors.As(err, &wire):
		return failure{body: wire}
	case errors.As(err, &refused):
		return refused.failure
	case errors.Is(err, errClientGone): // only the log and the metrics see this status
		return invalid("", openapi.CodeClientClosed)
	case errors.Is(err, ErrModelNotFound):
		return invalid("model", openapi.CodeModelNotFound)
	case errors.As(err, &notReady):
		return unavailable(notReady.Error(), openapi.CodeNotReady, notReady.RetryAfter)
	case errors.As(err, &conflict):
		return invalid("", openapi.CodeConflict)
	case errors.As(err, &ratio):
		return failure{body: openapi.Invalid("model", openapi.CodeInvalidRatio, "%s", ratio)}
	case errors.As(err, &tooLong):
		return failure{body: contextError("messages", tooLong)}
	case errors.As(err, &param):
		return failure{body: openapi.Invalid(wireField(param.Field), openapi.CodeInvalidValue, "%s", param)}
	case errors.Is(err, chat.ErrMessages):
		return invalid("messages", openapi.CodeInvalidValue)
	case errors.Is(err, infer.ErrQueueFull):
		return failure{
			body:       openapi.NewError(openapi.TypeRateLimit, "", openapi.CodeQueueFull, "the queue is full; try again later"),
			retryAfter: time.Second,
		}
	case errors.Is(err, errStopping), errors.Is(err, context.Canceled):
		return unavailable("the server is stopping", openapi.CodeUnavailable, time.Second)
	case errors.Is(err, infer.ErrEngine):
		f := unavailable("the engine is not available; try again later", openapi.CodeUnavailable, time.Second)
		f.hidden = true
		return f
	case errors.As(err, &http):
		return fromFiber(http)
	}
	return internalFailure(requestID)
}

// internalFailure hides the cause. The log has it under the same request id.
func internalFailure(requestID string) failure {
	message := "internal error; see the server log for request id " + requestID
	return failure{
		body:   openapi.NewError(openapi.TypeServer, "", openapi.CodeInternal, message),
		hidden: true,
	}
}

// contextError refuses a prompt that is too long. Clients search for the words of its messages.
func contextError(field string, tooLong *infer.ContextError) *openapi.Error {
	answer := ", including the answer"
	if tooLong.Whole {
		answer = ""
	}
	err := openapi.Invalid(field, openapi.CodeContextLength,
		"prompt is too long: %d tokens. This model's maximum context length is %d tokens%s; shorten the prompt or start the server with a larger --ctx", tooLong.Prompt, tooLong.Context, answer)
	err.Anthropic = fmt.Sprintf("prompt is too long: %d tokens > %d maximum%s; shorten the prompt or start the server with a larger --ctx", tooLong.Prompt, tooLong.Context, answer)
	return err
}

func unavailable(message, code string, retryAfter time.Duration) failure {
	if retryAfter <= 0 {
		retryAfter = DefaultRetryAfter
	}
	return failure{
		body:       openapi.NewError(openapi.TypeServer, "", code, message),
		retryAfter: retryAfter,
	}
}

// wireField returns the request's name for a field of infer.Request. Some names differ.
func wireField(field string) string {
	if field == "prompt" {
		return "messages"
	}
	return field
}

// fromFiber rewrites the errors of fiber and fasthttp, because their texts may quote the request.
func fromFiber(err *fiber.Error) failure {
	var code, message string
	switch err.Code {
	case fiber.StatusNotFound:
		code, message = openapi.CodeUnknownURL, "no such URL; /openapi.yaml lists the endpoints"
	case fiber.StatusMethodNotAllowed:
		code, message = openapi.CodeMethodNotAllowed, "this URL does not support this method; see the Allow header"
	case fiber.StatusRequestEntityTooLarge:
		code, message = openapi.CodeRequestTooLarge, "the request body is too large"
	case fiber.StatusRequestHeaderFieldsTooLarge:
		code, message = openapi.CodeHeadersTooLarge, "the request's headers are too large"
	case fiber.StatusRequestTimeout:
		code, message = openapi.CodeRequestTimeout, "the request took too long to arrive"
	default:
		code, message = openapi.CodeBadRequest, "the request is not valid HTTP"
	}
	return failure{body: openapi.NewError(openapi.TypeInvalidRequest, "", code, message)}
}

// handleError is fiber's ErrorHandler. It writes every error response.
func (s *Server) handleError(c *fiber.Ctx, err error) error {
	f := classify(err, requestID(c))
	if f.hidden {
		s.log.Error("request failed", "request_id", requestID(c), "error", err)
	}
	if unread(f.body.Status()) {
		if inner, ok := below(c.Context().Conn()).(*conn); ok {
			inner.linger.Store(true)
		}
	}
	s.origins.mark(c.Context()) // fasthttp refuses some requests before outermost sees them
	return writeFailure(c, f)
}

// unread reports whether the server may send a status before it has read the whole request.
func unread(status int) bool {
	return status == fiber.StatusRequestEntityTooLarge || status == fiber.StatusRequestHeaderFieldsTooLarge
}

func writeFailure(c *fiber.Ctx, f failure) error {
	status := f.body.Status()
	c.Status(status)
	if f.retryAfter > 0 {
		c.Set(fiber.HeaderRetryAfter, strconv.Itoa(int(math.Ceil(f.retryAfter.Seconds()))))
	}
	if status == fiber.StatusUnauthorized {
		c.Set(fiber.HeaderWWWAuthenticate, "Bearer")
	}
	return writeJSON(c, dialectOf(c.Path()).errorBody(f.body, requestID(c)))
}

// promptField renames the field of a refused prompt: "messages" for chats, "prompt" for completions.
func promptField(err error, field string) error {
	var (
		tooLong *infer.ContextError
		param   *infer.ParameterError
	)
	switch {
	case errors.As(err, &tooLong):
		return contextError(field, tooLong)
	case errors.As(err, &param) && param.Field == "prompt":
		return openapi.Invalid(field, openapi.CodeInvalidValue, "%s", strings.Replace(param.Error(), "prompt", field, 1))
	}
	return err
}
