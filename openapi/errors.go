package openapi

import "fmt"

// Types of Error, as OpenAI's clients know them.
const (
	TypeInvalidRequest = "invalid_request_error"
	TypeAuthentication = "authentication_error"
	TypeRateLimit      = "rate_limit_error"
	TypeServer         = "server_error"
)

// Codes of Error that clients may branch on; Codes describes them.
const (
	CodeInvalidJSON      = "invalid_json"
	CodeInvalidType      = "invalid_type"
	CodeInvalidValue     = "invalid_value"
	CodeMissing          = "missing_required_parameter"
	CodeUnsupported      = "unsupported_parameter"
	CodeInvalidRatio     = "invalid_ratio"
	CodeInvalidSchema    = "invalid_json_schema"
	CodeContextLength    = "context_length_exceeded"
	CodeBadRequest       = "bad_request"
	CodeInvalidKey       = "invalid_api_key"
	CodeHostNotAllowed   = "host_not_allowed"
	CodeOriginNotAllowed = "origin_not_allowed"
	CodeModelNotFound    = "model_not_found"
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
	CodeNotReady         = "model_not_ready"
	CodeUnavailable      = "engine_unavailable"
)

// Code describes a value of Error.Code.
type Code struct {
	Name   string
	Status int    // of the HTTP response
	Cause  string // one phrase
	Remedy string // what the client, or whoever runs the server, can do
}

// Codes returns all codes, by status. docs/use/errors.md shows them.
func Codes() []Code {
	return []Code{
		{CodeInvalidJSON, 400, "the body is not JSON", "send one JSON object"},
		{CodeInvalidType, 400, "a field has another JSON type", "`param` names the field"},
		{CodeInvalidValue, 400, "a field has a value that is not valid", "`param` names the field, the message the limits"},
		{CodeMissing, 400, "a required field is missing", "`param` names the field"},
		{CodeUnsupported, 400, "the server cannot do what a field asks for", "leave the field out"},
		{CodeInvalidRatio, 400, "the model cannot be pruned to this ratio", "the message names the largest ratio"},
		{CodeInvalidSchema, 400, "answers cannot be held to a JSON schema", "the message names the keyword"},
		{CodeContextLength, 400, "the prompt is longer than the context", "a shorter prompt, or a larger `--ctx`"},
		{CodeBadRequest, 400, "the request is not valid HTTP", "the message says what is wrong"},
		{CodeInvalidKey, 401, "the API key is missing or wrong", "send `Authorization: Bearer KEY`"},
		{CodeHostNotAllowed, 403, "the Host header is not allowed", "`--allowed-hosts NAME`"},
		{CodeOriginNotAllowed, 403, "a page of another origin sent the request", "send it from the server's own page, or without Origin"},
		{CodeModelNotFound, 404, "the name is another model's", "`/v1/models` lists the models; the name before `@` must be this server's"},
		{CodeUnknownURL, 404, "there is no such URL", "`/openapi.yaml` lists the URLs"},
		{CodeMethodNotAllowed, 405, "the URL does not take this method", "the Allow header names the methods"},
		{CodeRequestTimeout, 408, "the request took too long to arrive", "send it faster"},
		{CodeConflict, 409, "the variant cannot be deleted now", "the message says why"},
		{CodeRequestTooLarge, 413, "the body is too large", "at most 8 MiB, and 64 KiB without a valid key"},
		{CodeUnsupportedType, 415, "the body is not application/json", "send `Content-Type: application/json`, without Content-Encoding"},
		{CodeQueueFull, 429, "`--max-queue` requests wait already", "retry after `Retry-After`; more `--parallel`, another replica, or a higher ratio"},
		{CodeRateLimit, 429, "the client exceeded `--rate-limit`", "retry after `Retry-After`"},
		{CodeHeadersTooLarge, 431, "the headers are too large", "at most 32 KiB"},
		{CodeClientClosed, 499, "the client disconnected before the response", "only logs and metrics show it"},
		{CodeInternal, 500, "something failed in the server", "the server log has the cause under the request id of the message"},
		{CodeNotReady, 503, "the variant is being made, or too many variants are", "retry after `Retry-After`; the message has the progress"},
		{CodeUnavailable, 503, "the server stops, or its engine failed", "retry after `Retry-After`"},
	}
}

// Error is the error object of OpenAI's API. All four keys are always present; Param and Code may be null.
type Error struct {
	Message string  `json:"message"`
	Type    string  `json:"type"`
	Param   *string `json:"param"`
	Code    *string `json:"code"`
}

// Error implements error.
func (e *Error) Error() string { return e.Message }

// ErrorBody is the body of every response with a status of 400 or more.
type ErrorBody struct {
	Error *Error `json:"error"`
}

// NewError makes an error object; an empty param or code becomes null.
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

// Invalid makes the error for a request that can never succeed as it stands; the server answers it with status 400.
func Invalid(param, code, format string, args ...any) *Error {
	return NewError(TypeInvalidRequest, param, code, fmt.Sprintf(format, args...))
}
