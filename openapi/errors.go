package openapi

import "fmt"

// Types of Error, as OpenAI's clients know them.
const (
	TypeInvalidRequest = "invalid_request_error"
	TypeAuthentication = "authentication_error"
	TypeRateLimit      = "rate_limit_error"
	TypeServer         = "server_error"
)

// Codes of Error that clients may branch on.
const (
	CodeInvalidJSON      = "invalid_json"
	CodeInvalidType      = "invalid_type"
	CodeInvalidValue     = "invalid_value"
	CodeMissing          = "missing_required_parameter"
	CodeUnsupported      = "unsupported_parameter"
	CodeModelNotFound    = "model_not_found"
	CodeInvalidRatio     = "invalid_ratio"
	CodeContextLength    = "context_length_exceeded"
	CodeInvalidKey       = "invalid_api_key"
	CodeInvalidSchema    = "invalid_json_schema"
	CodeQueueFull        = "queue_full"
	CodeRateLimit        = "rate_limit_exceeded"
	CodeConflict         = "conflict"
	CodeOriginNotAllowed = "origin_not_allowed"
	CodeNotReady         = "model_not_ready"
	CodeUnavailable      = "engine_unavailable"
	CodeInternal         = "internal_error"
	CodeHostNotAllowed   = "host_not_allowed"
	CodeUnsupportedType  = "unsupported_content_type"
)

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
