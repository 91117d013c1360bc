package openapi

import (
	"encoding/json"
	"fmt"
)

// ResponseRequest is the body of POST /v1/responses.
type ResponseRequest struct {
	Common
	Turn
	Echo         ResponseEcho // the request's settings, which the response repeats
	SkippedItems []string     // types of skipped input items, each once
	PreviousID   *string      // of the stored response that this one continues; nil: none
	// Conversation holds the items of the previous response's conversation, then those of the input. It is nil if the
	// client does not want the response to be stored.
	Conversation []json.RawMessage
}

// ResponseEcho holds the fields of a request that its response repeats unchanged.
type ResponseEcho struct {
	Instructions    *string         `json:"instructions"`
	MaxOutputTokens *int            `json:"max_output_tokens"`
	Metadata        json.RawMessage `json:"metadata"`
	Parallel        bool            `json:"parallel_tool_calls"`
	Temperature     float64         `json:"temperature"`
	TopP            float64         `json:"top_p"`
	Text            json.RawMessage `json:"text"`
	ToolChoice      json.RawMessage `json:"tool_choice"`
	Tools           json.RawMessage `json:"tools"`
	User            *string         `json:"user,omitempty"`

	Reasoning ResponseReasoning `json:"reasoning"`
}

// DecodeResponse reads the body of POST /v1/responses. A nil stored means that no responses are stored. The error is an
// *Error.
func DecodeResponse(body []byte, defaults Sampling, stored Stored) (*ResponseRequest, error) {
	f := parseBody(body)
	req := &ResponseRequest{Common: newCommon(defaults), Turn: newTurn()}
	req.readModel(f)
	f.boolean("stream", &req.Stream)
	req.readSampling(f)
	f.dropNoLimit("max_output_tokens")
	f.count("max_output_tokens", 1, MaxTokensAsked, &req.MaxTokens)
	req.Messages = req.readInput(f, stored)
	req.readTools(f, false)
	if text, ok := f.object("text"); ok {
		req.Format = readFormat(text, "format", false)
		text.hints("verbosity")
		f.err = text.err
	}
	req.constrain(&req.Constraint, f)
	if reasoning, ok := f.object("reasoning"); ok {
		reasoning.readEffort("effort", &req.Thinking)
		reasoning.hints("summary", "generate_summary")
		f.err = reasoning.err
	}
	req.readThinking(f)
	refuseUnsupportedResponse(f)
	req.Echo = readEcho(f, req)
	if req.Echo.Instructions != nil {
		f.checkText("instructions", *req.Echo.Instructions)
		req.Messages = append([]Message{{Role: "system", Content: *req.Echo.Instructions}}, req.Messages...)
	}
	if f.err != nil {
		return nil, f.err
	}
	return req, nil
}

// refuseUnsupportedResponse refuses every field of OpenAI's responses API that would change the answer and is not
// supported.
func refuseUnsupportedResponse(f *fields) {
	f.only("conversation", "there are no stored conversations: use previous_response_id or send the whole conversation as input")
	f.readStore()
	f.only("background", "responses are made while the client waits", "false")
	f.only("include", "the server has no such data to include", "[]", `["reasoning.encrypted_content"]`)
	f.only("prompt", "there are no stored prompts")
	f.only("truncation", "the server refuses input that exceeds the context", `"disabled"`, `"auto"`)
	f.only("top_logprobs", "responses have no log probabilities; chat completions do", "0")
	f.only("n_probs", "responses have no log probabilities; chat completions do", "0")
	f.only("max_tool_calls", "this server calls no tools itself")
	f.hints("service_tier")
	f.only("n", "a response has one answer", "1")
	if options, ok := f.object("stream_options"); ok {
		options.only("include_obfuscation", "events are not padded", "false")
		f.err = options.err
	}
	if metadata, ok := f.object("metadata"); ok && len(metadata.members) > 16 {
		f.refuse("metadata", CodeInvalidValue, "metadata has %d entries; the limit is 16", len(metadata.members))
	}
}

func readEcho(f *fields, req *ResponseRequest) ResponseEcho {
	orElse := func(name, fallback string) json.RawMessage {
		if raw, ok := f.get(name); ok {
			return raw
		}
		return json.RawMessage(fallback)
	}
	echo := ResponseEcho{
		Metadata: orElse("metadata", "{}"), Parallel: req.ParallelToolCalls,
		Temperature: req.Temperature, TopP: req.TopP, Text: orElse("text", `{"format":{"type":"text"}}`),
		ToolChoice: orElse("tool_choice", `"auto"`), Tools: orElse("tools", "[]"),
	}
	if req.Thinking.Effort != "" {
		echo.Reasoning.Effort = &req.Thinking.Effort
	}
	if req.MaxTokens > 0 {
		echo.MaxOutputTokens = &req.MaxTokens
	}
	var text string
	if _, ok := f.get("instructions"); ok {
		f.str("instructions", len(f.members["instructions"]), &text)
		echo.Instructions = &text
	}
	var user string
	if _, ok := f.get("user"); ok {
		f.str("user", maxIdentifierSize, &user)
		echo.User = &user
	}
	return echo
}

// readInput reads the conversation, a text or a list of items, as messages.
func (r *ResponseRequest) readInput(f *fields, stored Stored) []Message {
	items, earlier := r.conversation(f, stored)
	if f.err != nil {
		return nil
	}
	if stored != nil {
		r.keep(f, items)
	}
	var messages []Message
	thought := "" // belongs to the next item
	for i, element := range items {
		kind := needlessItem(element)
		if kind == "reasoning" {
			if thought = thoughtText(f, i-earlier, element); thought != "" {
				continue
			}
		}
		if kind != "" {
			r.SkippedItems = addOnce(r.SkippedItems, kind)
			continue
		}
		item := &fields{path: fmt.Sprintf("input[%d].", i-earlier)}
		if f.err = item.parse(element); f.err != nil {
			return nil
		}
		messages = appendItem(messages, item)
		if f.err = item.err; f.err != nil {
			return nil
		}
		if last := &messages[len(messages)-1]; last.Role == "assistant" && last.Reasoning == "" {
			last.Reasoning = thought
		}
		thought = ""
	}
	if f.err == nil && len(messages) == 0 {
		f.refuse("input", CodeInvalidValue, "input has no message")
	}
	return messages
}

// appendItem adds an item of a response's input. Consecutive calls become one message of the assistant, as in a chat's
// history.
func appendItem(messages []Message, f *fields) []Message {
	kind := "message"
	f.str("type", 64, &kind)
	switch kind {
	case "message":
		return append(messages, readInputMessage(f))
	case "function_call":
		call := ToolCall{Type: "function"}
		f.require("call_id")
		f.str("call_id", maxIdentifierSize, &call.ID)
		f.checkText("call_id", call.ID)
		readFunctionCall(f, &call.Function)
		if last := len(messages) - 1; last >= 0 && messages[last].Role == "assistant" {
			messages[last].ToolCalls = append(messages[last].ToolCalls, call)
			if len(messages[last].ToolCalls) > MaxToolCalls {
				f.refuse("call_id", CodeInvalidValue, "input has more than %d calls in a row", MaxToolCalls)
			}
			return messages
		}
		return append(messages, Message{Role: "assistant", ToolCalls: []ToolCall{call}})
	case "function_call_output":
		m := Message{Role: "tool"}
		f.require("call_id")
		f.str("call_id", maxIdentifierSize, &m.ToolCallID)
		f.checkText("call_id", m.ToolCallID)
		f.require("output")
		m.Content = f.contentOf("output", "input_text", "output_text")
		return append(messages, m)
	case "item_reference":
		f.refuse("type", CodeUnsupported, "%stype is %q, and the item is not stored: send the item itself, as clients do with store false", f.path, kind)
		return messages
	}
	f.refuse("type", CodeUnsupported, "%stype is %q but must be message, function_call or function_call_output", f.path, kind)
	return messages
}

func readInputMessage(f *fields) Message {
	var m Message
	f.require("role")
	f.str("role", 32, &m.Role)
	switch m.Role {
	case "system", "user", "assistant":
	case "developer":
		m.Role = "system"
	default:
		f.refuse("role", CodeInvalidValue, "%srole is %q but must be system, developer, user or assistant", f.path, m.Role)
	}
	f.require("content")
	m.Content = f.contentOf("content", "input_text", "output_text")
	return m
}

// Response is the response of POST /v1/responses. A stream's events carry it too.
type Response struct {
	ID                 string          `json:"id"`
	Object             string          `json:"object"` // "response"
	CreatedAt          int64           `json:"created_at"`
	Status             string          `json:"status"` // "in_progress", "completed", "incomplete" or "failed"
	Error              *ResponseError  `json:"error"`
	Incomplete         *ResponseReason `json:"incomplete_details"`
	Model              string          `json:"model"`
	Output             []ResponseItem  `json:"output"`
	PreviousResponseID *string         `json:"previous_response_id"`
	Store              bool            `json:"store"`
	Truncation         string          `json:"truncation"` // "disabled"
	Usage              *ResponseUsage  `json:"usage"`
	ResponseEcho
}

// ResponseReasoning repeats the request's settings for thinking.
type ResponseReasoning struct {
	Effort  *string `json:"effort"`
	Summary *string `json:"summary"` // always null: the response has the thinking itself
}

// ResponseReason is the reason why a response is incomplete.
type ResponseReason struct {
	Reason string `json:"reason"` // "max_output_tokens"
}

// ResponseError is the reason why a response failed.
type ResponseError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// ResponseItem is a message, a function call or the model's thinking.
type ResponseItem struct {
	ID     string `json:"id"`
	Type   string `json:"type"`   // "message", "function_call" or "reasoning"
	Status string `json:"status"` // "in_progress", "completed" or "incomplete"

	Role    string          `json:"role,omitempty"` // of a message: "assistant"
	Content *[]ResponsePart `json:"content,omitempty"`
	Summary *[]struct{}     `json:"summary,omitempty"` // of reasoning: none

	CallID    string  `json:"call_id,omitempty"` // of a function call
	Name      string  `json:"name,omitempty"`
	Arguments *string `json:"arguments,omitempty"`
}

// ResponsePart is a text within a message, or within reasoning.
type ResponsePart struct {
	Type        string      `json:"type"` // "output_text" or "reasoning_text"
	Text        string      `json:"text"`
	Annotations *[]struct{} `json:"annotations,omitempty"` // of a message: always empty
	Logprobs    *[]struct{} `json:"logprobs,omitempty"`    // of a message: always empty
}

// ResponseUsage counts tokens.
type ResponseUsage struct {
	InputTokens        int               `json:"input_tokens"`
	InputTokensDetails PromptsDetails    `json:"input_tokens_details"`
	OutputTokens       int               `json:"output_tokens"`
	OutputDetails      CompletionDetails `json:"output_tokens_details"`
	TotalTokens        int               `json:"total_tokens"`
}

// InputTokens is the response of POST /v1/responses/input_tokens.
type InputTokens struct {
	Object string `json:"object"` // "response.input_tokens"
	Tokens int    `json:"input_tokens"`
}

// ResponseEvent is one event of a streamed response. Its type determines its fields.
type ResponseEvent struct {
	Type           string        `json:"type"`
	SequenceNumber int           `json:"sequence_number"`
	Response       *Response     `json:"response,omitempty"`
	OutputIndex    *int          `json:"output_index,omitempty"`
	Item           *ResponseItem `json:"item,omitempty"`
	ItemID         string        `json:"item_id,omitempty"`
	ContentIndex   *int          `json:"content_index,omitempty"`
	Part           *ResponsePart `json:"part,omitempty"`
	Delta          *string       `json:"delta,omitempty"`
	Text           *string       `json:"text,omitempty"`
	Logprobs       *[]struct{}   `json:"logprobs,omitempty"`
	Name           string        `json:"name,omitempty"`
	Arguments      *string       `json:"arguments,omitempty"`
	Code           *string       `json:"code,omitempty"` // of an error event
	Message        string        `json:"message,omitempty"`
	Param          *string       `json:"param,omitempty"`
}
