package openapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// MessagesRequest is the body of POST /v1/messages.
type MessagesRequest struct {
	Common
	Turn
	SkippedItems []string // types of content blocks that say nothing to the model, each once
}

// DecodeMessages reads the body of POST /v1/messages. The error is an *Error.
func DecodeMessages(body []byte, defaults Sampling) (*MessagesRequest, error) {
	return decodeMessages(body, defaults, true)
}

// DecodeCountTokens reads the body of POST /v1/messages/count_tokens, which needs no max_tokens. The error is an *Error.
func DecodeCountTokens(body []byte) (*MessagesRequest, error) {
	return decodeMessages(body, DefaultSampling, false)
}

func decodeMessages(body []byte, defaults Sampling, answers bool) (*MessagesRequest, error) {
	f := parseBody(body)
	req := &MessagesRequest{Common: newCommon(defaults), Turn: newTurn()}
	req.readModel(f)
	f.boolean("stream", &req.Stream)
	if answers {
		f.require("max_tokens")
	}
	f.count("max_tokens", 1, MaxTokensAsked, &req.MaxTokens)
	req.readSampling(f)
	req.readStop(f, "stop_sequences")
	system := readSystem(f)
	conversation := readConversation(f)
	if system != "" {
		req.Messages = []Message{{Role: "system", Content: system}}
	}
	req.Messages, req.SkippedItems = append(req.Messages, conversation.messages...), conversation.skipped
	req.readCustomTools(f)
	req.readOutputConfig(f)
	req.readThinking(f)
	req.readThinkingConfig(f)
	req.hold(&req.Constraint, f)
	req.continueWords(f)
	refuseUnsupportedMessages(f)
	if f.err != nil {
		return nil, f.err
	}
	return req, nil
}

// refuseUnsupportedMessages names every field of Anthropic's API that would change the answer and cannot be honoured. Others
// ask for something that a server may leave undone.
func refuseUnsupportedMessages(f *fields) {
	f.only("prefill", "the last message, if it is the assistant's, is what an answer continues", `""`)
	f.only("mcp_servers", "this server calls no tools itself", "[]")
	f.only("container", "this server runs no code")
	f.hints("service_tier")
	f.object("context_management")
	f.object("metadata")
}

// billingHeader begins a line of Claude Code's system prompt that differs from request to request and is not meant for the
// model. Left there, it would keep the prompt cache from ever being hit.
const billingHeader = "x-anthropic-billing-header:"

// readSystem reads the system prompt: a string or an array of text blocks.
func readSystem(f *fields) string {
	raw, ok := f.get("system")
	if !ok || kindOf(raw) == "an array" && len(f.array("system", 0, MaxParts)) == 0 {
		return ""
	}
	var texts []string
	for text := range strings.SplitSeq(f.contentOf("system", "text"), "\n") {
		if !strings.HasPrefix(text, billingHeader) {
			texts = append(texts, text)
		}
	}
	return strings.Join(texts, "\n")
}

// readCustomTools reads tools and tool_choice.
func (t *Turn) readCustomTools(f *fields) {
	skips := func(i int, element json.RawMessage) bool { return t.skipTool(f, i, element, "custom") }
	known := t.readToolList(f, skips, func(tool *fields) Tool {
		tool.only("type", "only custom tools are", `"custom"`)
		tool.require("input_schema")
		return tool.tool("input_schema")
	})
	if choice, ok := f.object("tool_choice"); ok {
		t.readCustomChoice(choice, known)
		f.err = choice.err
	}
	t.nameTools()
}

func (t *Turn) readCustomChoice(f *fields, known map[string]bool) {
	var kind, name string
	var single bool
	f.require("type")
	f.str("type", 64, &kind)
	f.boolean("disable_parallel_tool_use", &single)
	t.ParallelToolCalls = !single
	switch kind {
	case "auto":
	case "none":
		t.ToolChoice.Mode = ToolsNone
	case "any":
		t.ToolChoice.Mode = ToolsRequired
		if len(known) == 0 {
			f.refuse("type", CodeInvalidValue, "tool_choice.type is any and there are no tools")
		}
	case "tool":
		f.require("name")
		f.str("name", maxIdentifierSize, &name)
		t.ToolChoice = ToolChoice{Mode: ToolsRequired, Name: name}
		if !known[name] {
			f.refuse("name", CodeInvalidValue, "tool_choice names the tool %q, which is not among tools", name)
		}
	default:
		f.refuse("type", CodeInvalidValue, "tool_choice.type is %q, want auto, any, tool or none", kind)
	}
}

// readOutputConfig reads the effort and the format of the answer, which output_format was the name of before.
func (t *Turn) readOutputConfig(f *fields) {
	read := func(f *fields, name string) {
		inner, ok := f.object(name)
		if !ok {
			return
		}
		inner.require("type")
		inner.only("type", "a format is a JSON schema", `"json_schema"`)
		inner.require("schema")
		t.Format = ResponseFormat{Type: FormatJSONSchema, Schema: inner.schema("schema"), Field: f.path + name}
		f.err = inner.err
	}
	read(f, "output_format")
	if config, ok := f.object("output_config"); ok {
		read(config, "format")
		config.readEffort("effort", &t.Thinking)
		f.err = config.err
	}
}

// readThinkingConfig reads what Anthropic's API says about thinking. Where it says nothing, the server's defaults hold.
func (t *Turn) readThinkingConfig(f *fields) {
	config, ok := f.object("thinking")
	if !ok {
		return
	}
	var kind, display string
	config.require("type")
	config.str("type", 64, &kind)
	config.str("display", 64, &display)
	t.Thinking.Hidden = t.Thinking.Hidden || display == "omitted"
	switch kind {
	case "adaptive":
	case "enabled", "disabled":
		enabled := kind == "enabled"
		t.Thinking.Enabled = &enabled
	default:
		config.refuse("type", CodeInvalidValue, "thinking.type is %q, want enabled, disabled or adaptive", kind)
	}
	if _, given := config.get("budget_tokens"); given && kind == "enabled" {
		t.Thinking.Budget = new(int)
		config.count("budget_tokens", 1, MaxTokensAsked, t.Thinking.Budget)
	}
	f.err = config.err
}

// spaced writes JSON with a space behind each comma and colon, as models are trained to write calls: a call in the history is
// then what the model generated, and found in the prompt cache.
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

// conversation collects messages from those of Anthropic's form, which hold results of tools beside a user's words. Messages
// of one role that follow each other are one.
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
		f.refuse("messages", CodeInvalidValue, "messages has %d turns and results of tools, want at most %d", n, MaxMessages)
	}
	return c
}

// continueWords lets the answer continue the last message if it is the assistant's.
func (t *Turn) continueWords(f *fields) {
	if len(t.Messages) == 0 || t.Messages[len(t.Messages)-1].Role != "assistant" {
		return
	}
	if text := t.Messages[len(t.Messages)-1].Content; strings.TrimRight(text, whiteSpace) != text {
		f.refuse("messages", CodeInvalidValue, "messages: final assistant content cannot end with trailing whitespace")
	}
	t.continueLast(f)
}

// read adds one message.
func (c *conversation) read(f *fields) {
	var role string
	f.require("role")
	f.str("role", 32, &role)
	if role != "user" && role != "assistant" && role != "system" {
		f.refuse("role", CodeInvalidValue, "%srole is %q, want user, assistant or system", f.path, role)
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
		c.say(m)
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
	if len(c.messages) == before { // a message without a word is one, unless it continues another
		c.say(Message{Role: role})
	}
}

// say adds a message, or continues the last one if that has the same role.
func (c *conversation) say(m Message) {
	if last := len(c.messages) - 1; last >= 0 && c.messages[last].Role == m.Role && m.Role != "tool" {
		before := &c.messages[last]
		before.Content = joined(before.Content, m.Content)
		before.Reasoning = joined(before.Reasoning, m.Reasoning)
		before.ToolCalls = append(before.ToolCalls, m.ToolCalls...)
		return
	}
	c.messages = append(c.messages, m)
}

// joined is two texts, or the one that is not empty.
func joined(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + "\n" + b
}

// readBlock adds one block of a message's content.
func (c *conversation) readBlock(f *fields, role string) {
	var kind string
	f.require("type")
	f.str("type", 64, &kind)
	switch {
	case kind == "tool_use" && role == "assistant":
		call := readToolUse(f)
		c.say(Message{Role: role, ToolCalls: []ToolCall{call}})
		if calls := c.messages[len(c.messages)-1].ToolCalls; len(calls) > MaxToolCalls {
			f.refuse("type", CodeInvalidValue, "%stype is tool_use: more than %d calls in a row", f.path, MaxToolCalls)
		}
	case kind == "tool_result" && role == "user":
		c.say(readToolResult(f))
	case kind == "thinking" && role == "assistant":
		m := Message{Role: role}
		f.require("thinking")
		f.text("thinking", &m.Reasoning)
		c.say(m)
	case kind == "redacted_thinking" && role == "assistant": // nobody but its author can read it
	case kind == "server_tool_use" || kind == "mcp_tool_use" || kind != "tool_result" && strings.HasSuffix(kind, "_tool_result"):
		if !wireType.MatchString(kind) {
			f.refuse("type", CodeInvalidValue, "%stype is not a type of blocks", f.path)
			return
		}
		c.skipped = addOnce(c.skipped, kind) // of a tool that another server ran; the assistant's words hold its result
	default:
		c.say(Message{Role: role, Content: f.blockText(kind)})
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

// readToolResult reads the result of a call. Templates know no failed ones, so the text says it.
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

// blockText is the text of a block that a model can read.
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
		f.refuse("type", CodeUnsupported, "%stype is image: images are not supported, the model reads text alone", f.path)
	default:
		f.refuse("type", CodeUnsupported, "%stype %q is not supported here: the model reads text, tool_use, tool_result and documents of text", f.path, kind)
	}
	return text
}

// documentText is the text of a document, behind what says which one it is.
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
		source.only("type", "the model reads text alone", `"text"`)
		source.require("data")
		source.text("data", &data)
		f.err = source.err
		texts = append(texts, data)
	}
	return strings.Join(texts, "\n")
}
