package openapi

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Message is one turn of a chat. Text parts of a message are joined by line breaks.
type Message struct {
	Role    string // "system", "user" or "assistant"; a developer message counts as system
	Content string
	Name    string // of the speaker; templates may use it
}

// ChatRequest is the body of POST /v1/chat/completions.
type ChatRequest struct {
	Common
	Messages    []Message
	Logprobs    bool
	TopLogprobs int // alternatives per token, 0 to MaxTopLogprobs
}

// DecodeChat reads the body of POST /v1/chat/completions. The error is an *Error.
func DecodeChat(body []byte) (*ChatRequest, error) {
	f := parseBody(body)
	req := &ChatRequest{Common: newCommon()}
	req.read(f)
	readMaxCompletionTokens(f, &req.Common)
	req.Messages = readMessages(f)
	f.boolean("logprobs", &req.Logprobs)
	f.count("top_logprobs", 0, MaxTopLogprobs, &req.TopLogprobs)
	if _, asked := f.get("top_logprobs"); asked && !req.Logprobs {
		f.refuse("top_logprobs", CodeInvalidValue, "top_logprobs is only allowed when logprobs is true")
	}
	refuseUnsupportedChat(f)
	if f.err != nil {
		return nil, f.err
	}
	return req, nil
}

// readMaxCompletionTokens reads the newer name of max_tokens; both may be given if they agree.
func readMaxCompletionTokens(f *fields, c *Common) {
	if _, ok := f.get("max_completion_tokens"); !ok {
		return
	}
	older := c.MaxTokens
	f.count("max_completion_tokens", 1, MaxTokensAsked, &c.MaxTokens)
	if older != 0 && older != c.MaxTokens {
		f.refuse("max_tokens", CodeInvalidValue, "max_tokens is %d and max_completion_tokens is %d: give one of them", older, c.MaxTokens)
	}
}

// refuseUnsupportedChat names every field of OpenAI's chat API that would change the answer and cannot be honoured.
func refuseUnsupportedChat(f *fields) {
	f.only("tools", "this server calls no tools", "[]")
	f.only("tool_choice", "this server calls no tools", `"none"`, `"auto"`)
	f.only("functions", "this server calls no functions", "[]")
	f.only("function_call", "this server calls no functions", `"none"`, `"auto"`)
	f.only("parallel_tool_calls", "this server calls no tools", "true", "false")
	f.only("response_format", "answers are plain text", `{"type":"text"}`)
	f.only("modalities", "answers are text", `["text"]`)
	f.only("audio", "answers are text")
	f.only("prediction", "answers are not predicted")
	f.only("web_search_options", "this server searches nothing")
	f.only("reasoning_effort", "the model's reasoning cannot be set", `"none"`)
	f.only("verbosity", "the model's verbosity cannot be set", `"medium"`)
	f.only("service_tier", "there is one tier", `"auto"`, `"default"`)
	f.only("store", "answers are not stored", "false")
	if metadata, ok := f.object("metadata"); ok && len(metadata.members) > 16 {
		f.refuse("metadata", CodeInvalidValue, "metadata has %d entries, want at most 16", len(metadata.members))
	}
}

func readMessages(f *fields) []Message {
	f.require("messages")
	elements := f.array("messages", 1, MaxMessages)
	messages := make([]Message, 0, len(elements))
	for i, element := range elements {
		message, err := readMessage(element, fmt.Sprintf("messages[%d]", i))
		if err != nil {
			f.err = err
			return nil
		}
		messages = append(messages, message)
	}
	return messages
}

func readMessage(raw json.RawMessage, path string) (Message, *Error) {
	f := &fields{path: path + "."}
	if err := f.parse(raw); err != nil {
		return Message{}, err
	}
	var m Message
	f.require("role")
	f.str("role", 32, &m.Role)
	switch m.Role {
	case "system", "user", "assistant":
	case "developer":
		m.Role = "system"
	case "tool", "function":
		f.refuse("role", CodeUnsupported, "%srole is %q: this server calls no tools", f.path, m.Role)
	default:
		f.refuse("role", CodeInvalidValue, "%srole is %q, want system, developer, user or assistant", f.path, m.Role)
	}
	f.str("name", maxIdentifierSize, &m.Name)
	f.checkText("name", m.Name)
	for _, name := range []string{"tool_calls", "function_call", "tool_call_id", "audio"} {
		f.only(name, "this server calls no tools and speaks no audio", "[]")
	}
	f.require("content")
	m.Content = readContent(f)
	return m, f.err
}

// readContent reads a message's content: a string, or an array of text parts.
func readContent(f *fields) string {
	raw, ok := f.get("content")
	if !ok {
		return ""
	}
	if kindOf(raw) == "a string" {
		var text string
		f.text("content", &text)
		return text
	}
	if kindOf(raw) != "an array" {
		f.wrongType("content", raw, "a string or an array of text parts")
		return ""
	}
	elements := f.array("content", 1, MaxParts)
	texts := make([]string, len(elements))
	for i, element := range elements {
		part := &fields{path: fmt.Sprintf("%scontent[%d].", f.path, i)}
		if f.err = part.parse(element); f.err != nil {
			return ""
		}
		part.require("type")
		part.only("type", "only text parts are", `"text"`)
		part.require("text")
		part.text("text", &texts[i])
		if f.err = part.err; f.err != nil {
			return ""
		}
	}
	return strings.Join(texts, "\n")
}

// ChatResponse is the answer to a chat that was not streamed.
type ChatResponse struct {
	ID                string       `json:"id"`
	Object            string       `json:"object"` // "chat.completion"
	Created           int64        `json:"created"`
	Model             string       `json:"model"`
	Choices           []ChatChoice `json:"choices"`
	Usage             Usage        `json:"usage"`
	SystemFingerprint string       `json:"system_fingerprint"`
}

// ChatChoice is one answer.
type ChatChoice struct {
	Index        int           `json:"index"`
	Message      ChatMessage   `json:"message"`
	Logprobs     *ChatLogprobs `json:"logprobs"`
	FinishReason string        `json:"finish_reason"`
}

// ChatMessage is the model's turn.
type ChatMessage struct {
	Role    string  `json:"role"`
	Content string  `json:"content"`
	Refusal *string `json:"refusal"`
}

// ChatChunk is one event of a streamed chat.
type ChatChunk struct {
	ID                string            `json:"id"`
	Object            string            `json:"object"` // "chat.completion.chunk"
	Created           int64             `json:"created"`
	Model             string            `json:"model"`
	Choices           []ChatChunkChoice `json:"choices"`
	Usage             *Usage            `json:"usage,omitempty"`
	SystemFingerprint string            `json:"system_fingerprint"`
}

// ChatChunkChoice is what became known of one answer.
type ChatChunkChoice struct {
	Index        int           `json:"index"`
	Delta        ChatDelta     `json:"delta"`
	Logprobs     *ChatLogprobs `json:"logprobs"`
	FinishReason *string       `json:"finish_reason"`
}

// ChatDelta is the part of the message that is new; the first one of a choice carries the role.
type ChatDelta struct {
	Role    string  `json:"role,omitempty"`
	Content *string `json:"content,omitempty"`
}

// ChatLogprobs lists the tokens of an answer with their log probabilities.
type ChatLogprobs struct {
	Content []TokenLogprob `json:"content"`
	Refusal []TokenLogprob `json:"refusal"`
}

// TokenLogprob is a token, its natural log probability and the likeliest alternatives.
type TokenLogprob struct {
	Logprob
	TopLogprobs []Logprob `json:"top_logprobs"`
}

// Logprob is a token with its natural log probability.
type Logprob struct {
	Token   string  `json:"token"`
	Logprob float64 `json:"logprob"`
	Bytes   []int   `json:"bytes"` // the token's bytes, which need not be whole UTF-8
}

// Usage counts tokens over all choices of a response.
type Usage struct {
	PromptTokens        int            `json:"prompt_tokens"`
	CompletionTokens    int            `json:"completion_tokens"`
	TotalTokens         int            `json:"total_tokens"`
	PromptTokensDetails PromptsDetails `json:"prompt_tokens_details"`
}

// PromptsDetails tells how many prompt tokens came from the prompt cache.
type PromptsDetails struct {
	CachedTokens int `json:"cached_tokens"`
}
