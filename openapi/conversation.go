package openapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// conversation converts messages from Anthropic's form to that of chats. A tool result inside a user's message becomes a
// message of its own. Consecutive messages of one role become one.
type conversation struct {
	messages []Message
	skipped  []string
}

func readConversation(f *fields) conversation {
	var c conversation
	f.require("messages")
	for i, element := range f.array("messages", 1, MaxMessages) {
		m := &fields{path: fmt.Sprintf("messages[%d].", i)}
		if f.err = m.parse(element); f.err == nil {
			c.read(m)
			f.err = m.err
		}
		if f.err != nil {
			return c
		}
	}
	if n := len(c.messages); n > MaxMessages {
		f.refuse("messages", CodeInvalidValue, "messages has %d turns and tool results; the limit is %d", n, MaxMessages)
	}
	return c
}

// read converts one message.
func (c *conversation) read(f *fields) {
	var role string
	f.require("role")
	f.str("role", 32, &role)
	if role != "user" && role != "assistant" && role != "system" {
		f.refuse("role", CodeInvalidValue, "%srole is %q but must be user, assistant or system", f.path, role)
	}
	f.require("content")
	raw, ok := f.get("content")
	if !ok {
		return
	}
	before := len(c.messages)
	if kindOf(raw) == "a string" {
		m := Message{Role: role}
		f.text("content", &m.Content)
		c.add(m)
		return
	}
	for i, element := range f.array("content", 0, MaxParts) {
		block := &fields{path: fmt.Sprintf("%scontent[%d].", f.path, i)}
		if f.err = block.parse(element); f.err == nil {
			c.readBlock(block, role)
			f.err = block.err
		}
		if f.err != nil {
			return
		}
	}
	if len(c.messages) == before { // a message without text still begins a turn
		c.add(Message{Role: role})
	}
}

// add appends a message, or joins it to the last one if that has the same role.
func (c *conversation) add(m Message) {
	if last := len(c.messages) - 1; last >= 0 && c.messages[last].Role == m.Role && m.Role != "tool" {
		before := &c.messages[last]
		before.Content = joined(before.Content, m.Content)
		before.Reasoning = joined(before.Reasoning, m.Reasoning)
		before.ToolCalls = append(before.ToolCalls, m.ToolCalls...)
		return
	}
	c.messages = append(c.messages, m)
}

// joined joins two texts by a line break. If one is empty, it returns the other.
func joined(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + "\n" + b
}

// readBlock converts one block of a message's content.
func (c *conversation) readBlock(f *fields, role string) {
	var kind string
	f.require("type")
	f.str("type", 64, &kind)
	switch {
	case kind == "tool_use" && role == "assistant":
		call := readToolUse(f)
		c.add(Message{Role: role, ToolCalls: []ToolCall{call}})
		if calls := c.messages[len(c.messages)-1].ToolCalls; len(calls) > MaxToolCalls {
			f.refuse("type", CodeInvalidValue, "%stype is tool_use: more than %d calls in a row", f.path, MaxToolCalls)
		}
	case kind == "tool_result" && role == "user":
		c.add(readToolResult(f))
	case kind == "thinking" && role == "assistant":
		m := Message{Role: role}
		f.require("thinking")
		f.text("thinking", &m.Reasoning)
		c.add(m)
	case kind == "redacted_thinking" && role == "assistant": // encrypted for another server
	case kind == "server_tool_use" || kind == "mcp_tool_use" || kind != "tool_result" && strings.HasSuffix(kind, "_tool_result"):
		if !wireType.MatchString(kind) {
			f.refuse("type", CodeInvalidValue, "%stype is not a valid type", f.path)
			return
		}
		c.skipped = addOnce(c.skipped, kind) // another server ran the tool; the assistant's text contains its result
	default:
		c.add(Message{Role: role, Content: f.blockText(kind)})
	}
}

func readToolUse(f *fields) ToolCall {
	call := ToolCall{Type: "function"}
	f.require("id")
	f.str("id", maxIdentifierSize, &call.ID)
	f.checkText("id", call.ID)
	f.require("name")
	f.str("name", maxIdentifierSize, &call.Function.Name)
	f.checkText("name", call.Function.Name)
	f.require("input")
	raw, ok := f.get("input")
	if ok && kindOf(raw) != "an object" {
		f.wrongType("input", raw, "an object")
	}
	call.Function.Arguments = spaced(raw)
	return call
}

// readToolResult reads the result of a call. Chat templates have no field for a failed call, so the text reports the error.
func readToolResult(f *fields) Message {
	m := Message{Role: "tool"}
	f.require("tool_use_id")
	f.str("tool_use_id", maxIdentifierSize, &m.ToolCallID)
	f.checkText("tool_use_id", m.ToolCallID)
	failed := false
	f.boolean("is_error", &failed)
	if raw, ok := f.get("content"); ok && kindOf(raw) == "a string" {
		f.text("content", &m.Content)
	} else {
		var texts []string
		for i, element := range f.array("content", 0, MaxParts) {
			block := &fields{path: fmt.Sprintf("%scontent[%d].", f.path, i)}
			if f.err = block.parse(element); f.err != nil {
				return m
			}
			var kind string
			block.require("type")
			block.str("type", 64, &kind)
			texts = append(texts, block.blockText(kind))
			if f.err = block.err; f.err != nil {
				return m
			}
		}
		m.Content = strings.Join(texts, "\n")
	}
	if failed && !strings.Contains(strings.ToLower(m.Content), "error") {
		m.Content = strings.TrimSuffix("Error: "+m.Content, ": ")
	}
	return m
}

// blockText returns the text of a block. It refuses blocks that are not text.
func (f *fields) blockText(kind string) (text string) {
	switch kind {
	case "text":
		f.require("text")
		f.text("text", &text)
	case "tool_reference":
		f.require("tool_name")
		f.str("tool_name", maxIdentifierSize, &text)
		f.checkText("tool_name", text)
	case "document":
		text = f.documentText()
	case "image":
		f.refuse("type", CodeUnsupported, "%stype is image: images are not supported, the model reads only text", f.path)
	default:
		f.refuse("type", CodeUnsupported, "%stype %q is not supported here: the model reads text, tool_use, tool_result and text documents", f.path, kind)
	}
	return text
}

// documentText returns a document's title, context and text.
func (f *fields) documentText() string {
	var texts []string
	for _, name := range []string{"title", "context"} {
		var text string
		if f.text(name, &text); text != "" {
			texts = append(texts, text)
		}
	}
	f.require("source")
	if source, ok := f.object("source"); ok {
		var data string
		source.require("type")
		source.only("type", "the model reads only text", `"text"`)
		source.require("data")
		source.text("data", &data)
		f.err = source.err
		texts = append(texts, data)
	}
	return strings.Join(texts, "\n")
}

// spaced formats JSON with a space after each comma and colon, as models are trained to write calls. A call in the history
// then has the tokens that the model generated, and the prompt cache is hit.
func spaced(raw json.RawMessage) string {
	var compact bytes.Buffer
	if json.Compact(&compact, raw) != nil {
		return string(raw)
	}
	var out strings.Builder
	quoted, escaped := false, false
	for _, c := range compact.Bytes() {
		out.WriteByte(c)
		switch {
		case escaped:
			escaped = false
		case quoted && c == '\\':
			escaped = true
		case c == '"':
			quoted = !quoted
		case !quoted && (c == ',' || c == ':'):
			out.WriteByte(' ')
		}
	}
	return out.String()
}
