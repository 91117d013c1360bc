package openapi

import (
	"cmp"
	"encoding/json"
)

// Types of the content blocks of an answer to POST /v1/messages.
const (
	BlockText     = "text"
	BlockThinking = "thinking"
	BlockToolUse  = "tool_use"
)

// Reasons for the end of an answer to POST /v1/messages.
const (
	StopEndTurn       = "end_turn"
	StopMaxTokens     = "max_tokens"
	StopSequence      = "stop_sequence"
	StopToolUse       = "tool_use"
	StopContextWindow = "model_context_window_exceeded"
)

// MessagesResponse is the response of POST /v1/messages. A stream begins with one that has no content.
type MessagesResponse struct {
	ID           string          `json:"id"`
	Type         string          `json:"type"` // "message"
	Role         string          `json:"role"` // "assistant"
	Model        string          `json:"model"`
	Content      []MessagesBlock `json:"content"`
	StopReason   *string         `json:"stop_reason"`   // null until the answer ends
	StopSequence *string         `json:"stop_sequence"` // set if StopReason is StopSequence
	Usage        MessagesUsage   `json:"usage"`
}

// MessagesBlock is a text, the model's thinking or a tool call. Its type determines its fields.
type MessagesBlock struct {
	Type      string  `json:"type"` // BlockText, BlockThinking or BlockToolUse
	Text      *string `json:"text,omitempty"`
	Thinking  *string `json:"thinking,omitempty"`
	Signature *string `json:"signature,omitempty"` // of thinking; some clients send back only blocks that have one

	ID    string          `json:"id,omitempty"`
	Name  string          `json:"name,omitempty"`
	Input json.RawMessage `json:"input,omitempty"` // an object
}

// MessagesUsage counts tokens. The prompt's length is InputTokens plus CacheReadTokens.
type MessagesUsage struct {
	InputTokens         int `json:"input_tokens"`
	CacheCreationTokens int `json:"cache_creation_input_tokens"` // always 0: writing to the prompt cache costs nothing
	CacheReadTokens     int `json:"cache_read_input_tokens"`
	OutputTokens        int `json:"output_tokens"`
	OutputDetails       struct {
		ThinkingTokens int `json:"thinking_tokens"`
	} `json:"output_tokens_details"`
}

// MessagesEvent is one event of a stream. Its type determines its fields.
type MessagesEvent struct {
	Type    string            `json:"type"`
	Message *MessagesResponse `json:"message,omitempty"`
	Index   *int              `json:"index,omitempty"` // of the block
	Block   *MessagesBlock    `json:"content_block,omitempty"`
	Delta   any               `json:"delta,omitempty"` // a MessagesBlockDelta or a MessagesStopDelta
	Usage   *MessagesUsage    `json:"usage,omitempty"`
}

// MessagesBlockDelta is the new part of a block.
type MessagesBlockDelta struct {
	Type        string  `json:"type"` // "text_delta", "thinking_delta", "signature_delta" or "input_json_delta"
	Text        *string `json:"text,omitempty"`
	Thinking    *string `json:"thinking,omitempty"`
	Signature   *string `json:"signature,omitempty"`
	PartialJSON *string `json:"partial_json,omitempty"`
}

// MessagesStopDelta has the reason why the answer ended.
type MessagesStopDelta struct {
	StopReason   *string `json:"stop_reason"`
	StopSequence *string `json:"stop_sequence"`
}

// MessagesTokens is the response of POST /v1/messages/count_tokens.
type MessagesTokens struct {
	InputTokens int `json:"input_tokens"`
}

// MessagesErrorBody is the body of every response of Anthropic's API with a status of 400 or more. It is also the last
// event of a stream that fails.
type MessagesErrorBody struct {
	Type      string        `json:"type"` // "error"
	Error     MessagesError `json:"error"`
	RequestID string        `json:"request_id"`
}

// MessagesError is the error object of Anthropic's API.
type MessagesError struct {
	Type    string `json:"type"`
	Message string `json:"message"`
}

// NewMessagesError converts an error to the form of Anthropic's API.
func NewMessagesError(err *Error, requestID string) MessagesErrorBody {
	message := cmp.Or(err.Anthropic, err.Message)
	return MessagesErrorBody{Type: "error", Error: MessagesError{Type: messagesErrorType(err.Status()), Message: message}, RequestID: requestID}
}

// messagesErrorType returns the error type that Anthropic's clients expect for a status.
func messagesErrorType(status int) string {
	switch status {
	case 401:
		return "authentication_error"
	case 403:
		return "permission_error"
	case 404:
		return "not_found_error"
	case 413:
		return "request_too_large"
	case 429:
		return "rate_limit_error"
	case 503:
		return "overloaded_error"
	}
	if status < 500 {
		return "invalid_request_error"
	}
	return "api_error"
}
