package openapi

import "fmt"

// Types of Error in OpenAI's API.
const (
	TypeInvalidRequest = "invalid_request_error"
	TypeAuthentication = "authentication_error"
	TypeRateLimit      = "rate_limit_error"
	TypeServer         = "server_error"
)

// Codes of Error that clients may branch on. Codes describes them.
const (
	CodeInvalidJSON      = "invalid_json"
	CodeInvalidType      = "invalid_type"
	CodeInvalidValue     = "invalid_value"
	CodeMissing          = "missing_required_parameter"
	CodeUnsupported      = "unsupported_parameter"
	CodeInvalidRatio     = "invalid_ratio"
	CodeInvalidSchema    = "invalid_json_schema"
	CodeContextLength    = "context_length_exceeded"
	CodePreviousNotFound = "previous_response_not_found"
	CodeBadRequest       = "bad_request"
	CodeInvalidKey       = "invalid_api_key"
	CodeHostNotAllowed   = "host_not_allowed"
	CodeOriginNotAllowed = "origin_not_allowed"
	CodeModelNotFound    = "model_not_found"
	CodeResponseNotFound = "response_not_found"
	CodeUnknownURL       = "unknown_url"
	CodeMethodNotAllowed = "method_not_allowed"
	CodeRequestTimeout   = "request_timeout"
	CodeConflict         = "conflict"
	CodeRequestTooLarge  = "request_too_large"
	CodeUnsupportedType  = "unsupported_content_type"
	CodeQueueFull        = "queue_full"
	CodeRateLimit        = "rate_limit_exceeded"
	CodeHeadersTooLarge  = "headers_too_large"
	CodeClientClosed     = "client_closed_request"
	CodeInternal         = "internal_error"
	CodeNotImplemented   = "not_implemented"
	CodeNotReady         = "model_not_ready"
	CodeUnavailable      = "engine_unavailable"
)

// Code describes a value of Error.Code.
type Code struct {
	Name   string
	Status int    // of the HTTP response
	Cause  string // one phrase
	Remedy string // the step that fixes it, by the client or the operator
}

// Codes returns all codes, sorted by status. It is the only list of statuses: responses take theirs from it, and
// docs/use/errors.md shows them.
func Codes() []Code {
	return []Code{
		{CodeInvalidJSON, 400, "the body is not JSON", "send one JSON object"},
		{CodeInvalidType, 400, "a field has the wrong JSON type", "`param` names the field"},
		{CodeInvalidValue, 400, "a field has a value that is not valid", "`param` names the field, the message the limits"},
		{CodeMissing, 400, "a required field is missing", "`param` names the field"},
		{CodeUnsupported, 400, "the server does not support a field or its value", "leave the field out"},
		{CodeInvalidRatio, 400, "the model cannot be pruned to this ratio", "the message names the largest ratio"},
		{CodeInvalidSchema, 400, "no grammar can express the JSON schema", "the message names the keyword"},
		{CodeContextLength, 400, "the prompt is longer than the context", "a shorter prompt, or a larger `--ctx`"},
		{CodePreviousNotFound, 400, "the previous response is not stored, or no longer stored", "send the whole conversation as `input`"},
		{CodeBadRequest, 400, "the request is not valid HTTP", "the message says what is wrong"},
		{CodeInvalidKey, 401, "the API key is missing or wrong", "send `Authorization: Bearer KEY`"},
		{CodeHostNotAllowed, 403, "the Host header is not allowed", "`--allowed-hosts NAME`, or `'*.example.org'` for all names below one"},
		{CodeOriginNotAllowed, 403, "a page of another origin sent the request", "send it from the server's own page, or without Origin"},
		{CodeModelNotFound, 404, "the server has no model of that name", "`/v1/models` lists the models; the name before `@` must be this server's"},
		{CodeResponseNotFound, 404, "that response is not stored, or no longer stored", "`--response-store` bounds how many it keeps, for an hour"},
		{CodeUnknownURL, 404, "there is no such URL", "`/openapi.yaml` lists the URLs"},
		{CodeMethodNotAllowed, 405, "the URL does not support this method", "the Allow header names the methods"},
		{CodeRequestTimeout, 408, "the request took too long to arrive", "send it faster"},
		{CodeConflict, 409, "the variant cannot be deleted now", "the message says why"},
		{CodeRequestTooLarge, 413, "the body is too large", "at most 8 MiB, and 64 KiB without a valid key"},
		{CodeUnsupportedType, 415, "the body is not application/json", "send `Content-Type: application/json`, without Content-Encoding"},
		{CodeQueueFull, 429, "`--max-queue` requests are already waiting", "retry after `Retry-After`; more `--parallel`, another replica, or a higher ratio"},
		{CodeRateLimit, 429, "the client exceeded `--rate-limit`", "retry after `Retry-After`"},
		{CodeHeadersTooLarge, 431, "the headers are too large", "at most 32 KiB"},
		{CodeClientClosed, 499, "the client disconnected before the response", "only logs and metrics show it"},
		{CodeInternal, 500, "an internal error", "the server log has the cause under the request id of the message"},
		{CodeNotImplemented, 501, "other servers have this endpoint, this one cannot have it", "the message says why, and what to use"},
		{CodeNotReady, 503, "the variant is being made, or too many variants are", "retry after `Retry-After`; the message has the progress"},
		{CodeUnavailable, 503, "the server is stopping, or its engine failed", "retry after `Retry-After`"},
	}
}

// Error is the error object of OpenAI's API. All four keys are always present; Param and Code may be null.
type Error struct {
	Message string  `json:"message"`
	Type    string  `json:"type"`
	Param   *string `json:"param"`
	Code    *string `json:"code"`
	// Anthropic replaces the message for clients of Anthropic's API, if they look for certain words. It is usually empty.
	Anthropic string `json:"-"`
}

// Error implements error.
func (e *Error) Error() string { return e.Message }

// Status returns the HTTP status that Codes has for the error's code, or 500 if the table lacks it.
func (e *Error) Status() int {
	for _, code := range Codes() {
		if e.Code != nil && *e.Code == code.Name {
			return code.Status
		}
	}
	return 500
}

// ErrorBody is the body of every response with a status of 400 or more.
type ErrorBody struct {
	Error *Error `json:"error"`
}

// NewError returns an error object. An empty param or code becomes null.
func NewError(kind, param, code, message string) *Error {
	e := &Error{Message: message, Type: kind}
	if param != "" {
		e.Param = &param
	}
	if code != "" {
		e.Code = &code
	}
	return e
}

// Invalid returns an error for a request that fails until the client changes it.
func Invalid(param, code, format string, args ...any) *Error {
	return NewError(TypeInvalidRequest, param, code, fmt.Sprintf(format, args...))
}
