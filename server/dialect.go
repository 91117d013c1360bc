package server

import (
	"strings"

	"prunellm/openapi"
)

// dialect is the API that determines the form of errors, streams and pings. It depends only on the request's path, so
// that it is known before any handler runs.
type dialect int

const (
	openAI dialect = iota
	anthropic
	ollamaChat
	ollama // all other paths of Ollama's API
)

func dialectOf(path string) dialect {
	switch {
	case path == "/v1/messages" || strings.HasPrefix(path, "/v1/messages/"):
		return anthropic
	case path == "/api/chat":
		return ollamaChat
	case strings.HasPrefix(path, "/api/"):
		return ollama
	}
	return openAI
}

// ofOllama reports whether the API is Ollama's: streams are lines of JSON there.
func (d dialect) ofOllama() bool { return d == ollamaChat || d == ollama }

// streamType is the content type of streams.
func (d dialect) streamType() string {
	if d.ofOllama() {
		return mimeNDJSON
	}
	return "text/event-stream; charset=utf-8"
}

const mimeNDJSON = "application/x-ndjson"

// errorBody returns the body of an error response.
func (d dialect) errorBody(err *openapi.Error, requestID string) any {
	switch {
	case d == anthropic:
		return openapi.NewMessagesError(err, requestID)
	case d.ofOllama():
		return openapi.OllamaError{Error: err.Message}
	}
	return openapi.ErrorBody{Error: err}
}

// ping says that the answer is still being made. Clients skip it: it is a comment, or an event of that name where clients
// count on one, or a line without news where lines can be neither.
func (s eventStream) ping() error {
	switch s.dialect {
	case anthropic:
		return s.named("ping", openapi.MessagesEvent{Type: "ping"})
	case ollamaChat:
		return s.line(chatLine(newOllamaLine("")))
	case ollama:
		return s.line(generateLine(newOllamaLine("")))
	}
	return s.raw(": ping", nil)
}

// failed sends an error as the last event.
func (s eventStream) failed(err *openapi.Error) error {
	body := s.dialect.errorBody(err, s.requestID)
	switch {
	case s.dialect == anthropic:
		return s.named("error", body)
	case s.dialect.ofOllama():
		return s.line(body)
	}
	return s.data(body)
}
