package openapi

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Message is one turn of a chat. Its text parts are joined by line breaks.
type Message struct {
	Role       string // "system", "user", "assistant" or "tool"; a developer message counts as system
	Content    string
	Reasoning  string     // of an assistant message: the model's thinking before it
	Name       string     // of the speaker; templates may use it
	ToolCalls  []ToolCall // of an assistant message
	ToolCallID string     // of a tool message: the call that it responds to
}

// ToolCall is a call that the model requests.
type ToolCall struct {
	ID       string       `json:"id"`
	Type     string       `json:"type"` // "function"
	Function FunctionCall `json:"function"`
}

// FunctionCall names a function and its arguments.
type FunctionCall struct {
	Name      string `json:"name"`
	Arguments string `json:"arguments"` // JSON, as the model wrote it
}

// ChatRequest is the body of POST /v1/chat/completions.
type ChatRequest struct {
	Common
	Turn
	Logprobs    bool
	TopLogprobs int    // alternatives per token, 0 to MaxTopLogprobs
	Prediction  string // text that much of the answer may repeat; it changes only the speed
}

// DecodeChat reads the body of POST /v1/chat/completions. The error is an *Error.
func DecodeChat(body []byte, defaults Sampling) (*ChatRequest, error) {
	f := parseBody(body)
	req := &ChatRequest{Common: newCommon(defaults), Turn: newTurn()}
	req.read(f)
	req.readLimit(f, "max_completion_tokens")
	req.Messages = readMessages(f)
	req.readTools(f, true)
	req.Format = readFormat(f, "response_format", true)
	req.constrain(&req.Constraint, f)
	req.readOpening(f)
	f.boolean("logprobs", &req.Logprobs)
	f.count("top_logprobs", 0, MaxTopLogprobs, &req.TopLogprobs)
	if n := f.countProbs(); n > 0 {
		if req.Logprobs && req.TopLogprobs != n {
			f.refuse("n_probs", CodeInvalidValue, "n_probs is %d and top_logprobs is %d: send only one of them", n, req.TopLogprobs)
		}
		req.Logprobs, req.TopLogprobs = true, n
	}
	if _, asked := f.get("top_logprobs"); asked && !req.Logprobs {
		f.refuse("top_logprobs", CodeInvalidValue, "top_logprobs is only allowed when logprobs is true")
	}
	req.readThinking(f)
	if prediction, ok := f.object("prediction"); ok {
		prediction.require("type")
		prediction.only("type", "a prediction has content", `"content"`)
		prediction.require("content")
		req.Prediction = readContent(prediction)
		f.err = prediction.err
	}
	refuseUnsupportedChat(f)
	if f.err != nil {
		return nil, f.err
	}
	return req, nil
}

// refuseUnsupportedChat refuses every field of OpenAI's chat API that would change the answer and is not supported.
func refuseUnsupportedChat(f *fields) {
	f.only("functions", "it is the old name of tools", "[]")
	f.only("function_call", "it is the old name of tool_choice", `"none"`, `"auto"`)
	f.only("modalities", "answers are text", `["text"]`)
	f.only("audio", "answers are text")
	f.only("web_search_options", "this server does not search the web")
	f.hints("verbosity", "service_tier")
	f.readStore()
	if metadata, ok := f.object("metadata"); ok && len(metadata.members) > 16 {
		f.refuse("metadata", CodeInvalidValue, "metadata has %d entries; the limit is 16", len(metadata.members))
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
	case "system", "user":
	case "assistant":
		m.ToolCalls = readToolCalls(f)
		m.Reasoning = readReasoning(f)
		f.only("audio", "answers are text")
		f.only("refusal", "answers are text", `""`)
	case "tool":
		f.require("tool_call_id")
		f.str("tool_call_id", maxIdentifierSize, &m.ToolCallID)
		f.checkText("tool_call_id", m.ToolCallID)
	case "developer":
		m.Role = "system"
	case "function":
		f.refuse("role", CodeUnsupported, "%srole is %q: it is the old name of tool", f.path, m.Role)
	default:
		f.refuse("role", CodeInvalidValue, "%srole is %q but must be system, developer, user, assistant or tool", f.path, m.Role)
	}
	f.str("name", maxIdentifierSize, &m.Name)
	f.checkText("name", m.Name)
	f.only("function_call", "it is the old name of tool_calls")
	if m.Role != "assistant" {
		f.only("tool_calls", "only assistant messages have them", "[]")
	}
	if len(m.ToolCalls) == 0 && m.Reasoning == "" {
		f.require("content")
	}
	m.Content = readContent(f)
	return m, f.err
}

// readReasoning reads a message's reasoning under llama-server's or vLLM's name.
func readReasoning(f *fields) string {
	for _, name := range []string{"reasoning_content", "reasoning"} {
		var text string
		if f.text(name, &text); text != "" {
			return text
		}
	}
	return ""
}

func readToolCalls(f *fields) []ToolCall {
	var calls []ToolCall
	for i, element := range f.array("tool_calls", 0, MaxToolCalls) {
		call := &fields{path: fmt.Sprintf("%stool_calls[%d].", f.path, i)}
		if f.err = call.parse(element); f.err != nil {
			return nil
		}
		c := ToolCall{Type: "function"}
		call.only("type", "only functions can be called", `"function"`)
		call.require("id")
		call.str("id", maxIdentifierSize, &c.ID)
		call.checkText("id", c.ID)
		call.require("function")
		if function, ok := call.object("function"); ok {
			readFunctionCall(function, &c.Function)
			call.err = function.err
		}
		if f.err = call.err; f.err != nil {
			return nil
		}
		calls = append(calls, c)
	}
	return calls
}

func readFunctionCall(f *fields, into *FunctionCall) {
	f.require("name")
	f.str("name", maxIdentifierSize, &into.Name)
	f.checkText("name", into.Name)
	f.require("arguments")
	f.text("arguments", &into.Arguments)
}

// readContent reads a message's content.
func readContent(f *fields) string { return f.contentOf("content", "text") }

// contentOf reads a string, or an array of text parts of the given types.
func (f *fields) contentOf(name string, types ...string) string {
	raw, ok := f.get(name)
	if !ok {
		return ""
	}
	if kindOf(raw) == "a string" {
		var text string
		f.text(name, &text)
		return text
	}
	if kindOf(raw) != "an array" {
		f.wrongType(name, raw, "a string or an array of text parts")
		return ""
	}
	accepted := make([]string, len(types))
	for i, kind := range types {
		accepted[i] = `"` + kind + `"`
	}
	elements := f.array(name, 1, MaxParts)
	texts := make([]string, len(elements))
	for i, element := range elements {
		part := &fields{path: fmt.Sprintf("%s%s[%d].", f.path, name, i)}
		if f.err = part.parse(element); f.err != nil {
			return ""
		}
		part.require("type")
		part.only("type", "parts must be text", accepted...)
		part.require("text")
		part.text("text", &texts[i])
		if f.err = part.err; f.err != nil {
			return ""
		}
	}
	return strings.Join(texts, "\n")
}

// ChatResponse is the response to a chat without streaming.
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
	Role      string     `json:"role"`
	Content   *string    `json:"content"` // null if the model only calls tools
	Refusal   *string    `json:"refusal"`
	ToolCalls []ToolCall `json:"tool_calls,omitempty"`
	Reasoning
}

// Reasoning holds the model's thinking under two names: that of llama-server and DeepSeek, and that of vLLM and
// OpenRouter. Clients read one of them and ignore the other.
type Reasoning struct {
	ReasoningContent string `json:"reasoning_content,omitempty"`
	ReasoningText    string `json:"reasoning,omitempty"` // the same text
}

// NewReasoning returns a text under both names.
func NewReasoning(text string) Reasoning {
	return Reasoning{ReasoningContent: text, ReasoningText: text}
}

// ChatChunk is one event of a streamed chat.
type ChatChunk struct {
	ID                string            `json:"id"`
	Object            string            `json:"object"` // "chat.completion.chunk"
	Created           int64             `json:"created"`
	Model             string            `json:"model"`
	Choices           []ChatChunkChoice `json:"choices"`
	Usage             **Usage           `json:"usage,omitempty"` // see NoUsageYet
	SystemFingerprint string            `json:"system_fingerprint"`
}

// ChatChunkChoice is the new part of one answer.
type ChatChunkChoice struct {
	Index        int           `json:"index"`
	Delta        ChatDelta     `json:"delta"`
	Logprobs     *ChatLogprobs `json:"logprobs"`
	FinishReason *string       `json:"finish_reason"`
}

// ChatDelta is the new part of the message. The first one of a choice carries the role.
type ChatDelta struct {
	Role      string          `json:"role,omitempty"`
	Content   **string        `json:"content,omitempty"` // a pointer to nil becomes null: no text, only calls
	ToolCalls []ToolCallDelta `json:"tool_calls,omitempty"`
	Reasoning
}

// ToolCallDelta is the new part of a call. The first one of a call carries its id and name.
type ToolCallDelta struct {
	Index    int           `json:"index"` // among the calls of the answer
	ID       string        `json:"id,omitempty"`
	Type     string        `json:"type,omitempty"`
	Function FunctionDelta `json:"function"`
}

// FunctionDelta is the new part of a function call.
type FunctionDelta struct {
	Name      string `json:"name,omitempty"`
	Arguments string `json:"arguments"`
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
	Bytes   []int   `json:"bytes"` // the token's bytes, which may be incomplete UTF-8
}

// NoUsageYet returns the usage of all events but the last of a stream, if the client asked for usage. It is a pointer
// to nil, which JSON encodes as null. A nil pointer omits the field.
func NoUsageYet() **Usage { return new(*Usage) }

// Usage counts tokens over all choices of a response.
type Usage struct {
	PromptTokens            int               `json:"prompt_tokens"`
	CompletionTokens        int               `json:"completion_tokens"`
	TotalTokens             int               `json:"total_tokens"`
	PromptTokensDetails     PromptsDetails    `json:"prompt_tokens_details"`
	CompletionTokensDetails CompletionDetails `json:"completion_tokens_details"`
}

// CompletionDetails has the number of completion tokens that were thinking, including its markers. It is 0 for completions
// of text. With a prediction, it also has how many predicted tokens the model accepted and rejected.
type CompletionDetails struct {
	ReasoningTokens int `json:"reasoning_tokens"`
	Accepted        int `json:"accepted_prediction_tokens,omitempty"`
	Rejected        int `json:"rejected_prediction_tokens,omitempty"`
}

// PromptsDetails has the number of prompt tokens that came from the prompt cache.
type PromptsDetails struct {
	CachedTokens int `json:"cached_tokens"`
}
