package openapi

import (
	"fmt"
	"strings"
)

// ollamaHistory gives ids to calls that have none, and to their results: Ollama's API matches them by order and name.
type ollamaHistory struct {
	calls int
	open  []ToolCall // without a result
}

func readOllamaMessages(f *fields) []Message {
	var history ollamaHistory
	var messages []Message
	for i, element := range f.array("messages", 0, MaxMessages) {
		m := &fields{path: fmt.Sprintf("messages[%d].", i)}
		if f.err = m.parse(element); f.err == nil {
			messages = append(messages, history.read(m))
			f.err = m.err
		}
		if f.err != nil {
			return nil
		}
	}
	return messages
}

func (h *ollamaHistory) read(f *fields) Message {
	var m Message
	f.require("role")
	f.str("role", 32, &m.Role)
	m.Role = strings.ToLower(m.Role)
	f.text("content", &m.Content)
	f.only("images", "the model reads text alone", "[]")
	switch m.Role {
	case "system", "user":
	case "assistant":
		f.text("thinking", &m.Reasoning)
		h.open = nil
		for i, element := range f.array("tool_calls", 0, MaxToolCalls) {
			call := &fields{path: fmt.Sprintf("%stool_calls[%d].", f.path, i)}
			if f.err = call.parse(element); f.err == nil {
				m.ToolCalls = append(m.ToolCalls, h.readCall(call))
				f.err = call.err
			}
			if f.err != nil {
				return m
			}
		}
		h.open = append(h.open, m.ToolCalls...)
	case "tool":
		f.str("tool_name", maxIdentifierSize, &m.Name)
		f.checkText("tool_name", m.Name)
		f.str("tool_call_id", maxIdentifierSize, &m.ToolCallID)
		f.checkText("tool_call_id", m.ToolCallID)
		h.answer(&m)
	default:
		f.refuse("role", CodeInvalidValue, "%srole is %q but must be system, user, assistant or tool", f.path, m.Role)
	}
	if m.Role != "assistant" {
		f.only("tool_calls", "only assistant messages have them", "[]")
	}
	return m
}

func (h *ollamaHistory) readCall(f *fields) ToolCall {
	call := ToolCall{Type: "function"}
	f.str("id", maxIdentifierSize, &call.ID)
	f.checkText("id", call.ID)
	f.require("function")
	if function, ok := f.object("function"); ok {
		function.require("name")
		function.str("name", maxIdentifierSize, &call.Function.Name)
		function.checkText("name", call.Function.Name)
		raw, given := function.get("arguments")
		if given && kindOf(raw) != "an object" {
			function.wrongType("arguments", raw, "an object")
		}
		if call.Function.Arguments = "{}"; given {
			call.Function.Arguments = spaced(raw)
		}
		f.err = function.err
	}
	if h.calls++; call.ID == "" {
		call.ID = fmt.Sprintf("call%05d", h.calls) // nine letters and digits, as Mistral's templates want them
	}
	return call
}

// answer finds the call that a tool's message is the result of: by its id, by its name, or the next one.
func (h *ollamaHistory) answer(m *Message) {
	at := -1
	for i, call := range h.open {
		named := m.Name == "" || call.Function.Name == m.Name
		if call.ID == m.ToolCallID || m.ToolCallID == "" && named {
			at = i
			break
		}
	}
	if at < 0 {
		return
	}
	call := h.open[at]
	h.open = append(h.open[:at:at], h.open[at+1:]...)
	m.ToolCallID = call.ID
	if m.Name == "" {
		m.Name = call.Function.Name
	}
}
