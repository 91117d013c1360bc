package server

import (
	"strings"

	"prunellm/openapi"
)

// dialect is the API that determines the form of errors and pings. It depends only on the request's path, so that it is
// known before any handler runs.
type dialect int

const (
	openAI dialect = iota
	anthropic
)

func dialectOf(path string) dialect {
	if path == "/v1/messages" || strings.HasPrefix(path, "/v1/messages/") {
		return anthropic
	}
	return openAI
}

// errorBody returns the body of an error response.
func (d dialect) errorBody(err *openapi.Error, requestID string) any {
	if d == anthropic {
		return openapi.NewMessagesError(err, requestID)
	}
	return openapi.ErrorBody{Error: err}
}
