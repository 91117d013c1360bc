package openapi

import (
	"encoding/json"
	"strings"
)

// MessagesRequest is the body of POST /v1/messages.
type MessagesRequest struct {
	Common
	Turn
	SkippedItems []string // types of content blocks that are left out of the prompt, each once
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
	req.constrain(&req.Constraint, f)
	req.continueAssistant(f)
	refuseUnsupportedMessages(f)
	if f.err != nil {
		return nil, f.err
	}
	return req, nil
}

// refuseUnsupportedMessages refuses every field of Anthropic's API that would change the answer and is not supported. Other
// unsupported fields are hints, which a server may ignore.
func refuseUnsupportedMessages(f *fields) {
	f.only("prefill", "send the text as a last message of the assistant", `""`)
	f.only("mcp_servers", "this server calls no tools itself", "[]")
	f.only("container", "this server runs no code")
	f.only("n_probs", "messages have no log probabilities; chat completions do", "0")
	f.hints("service_tier")
	f.object("context_management")
	f.object("metadata")
}

// billingHeader begins a line of Claude Code's system prompt. The line is not meant for the model and differs in every
// request. If it stayed in the prompt, the prompt cache would never be hit.
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
		tool.only("type", "only custom tools are supported", `"custom"`)
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
			f.refuse("type", CodeInvalidValue, "tool_choice.type is any but the request has no tools")
		}
	case "tool":
		f.require("name")
		f.str("name", maxIdentifierSize, &name)
		t.ToolChoice = ToolChoice{Mode: ToolsRequired, Name: name}
		if !known[name] {
			f.refuse("name", CodeInvalidValue, "tool_choice names the tool %q, which tools does not list", name)
		}
	default:
		f.refuse("type", CodeInvalidValue, "tool_choice.type is %q but must be auto, any, tool or none", kind)
	}
}

// readOutputConfig reads the effort and the format of the answer. output_format is the older name of output_config.format.
func (t *Turn) readOutputConfig(f *fields) {
	read := func(f *fields, name string) {
		inner, ok := f.object(name)
		if !ok {
			return
		}
		inner.require("type")
		inner.only("type", "the format must be json_schema", `"json_schema"`)
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

// readThinkingConfig reads the field thinking of Anthropic's API. Without it the server's defaults apply.
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
		config.refuse("type", CodeInvalidValue, "thinking.type is %q but must be enabled, disabled or adaptive", kind)
	}
	if _, given := config.get("budget_tokens"); given && kind == "enabled" {
		t.Thinking.Budget = new(int)
		config.count("budget_tokens", 1, MaxTokensAsked, t.Thinking.Budget)
	}
	f.err = config.err
}

// continueAssistant makes the answer continue the last message if it is the assistant's.
func (t *Turn) continueAssistant(f *fields) {
	if len(t.Messages) == 0 || t.Messages[len(t.Messages)-1].Role != "assistant" {
		return
	}
	if text := t.Messages[len(t.Messages)-1].Content; strings.TrimRight(text, whiteSpace) != text {
		f.refuse("messages", CodeInvalidValue, "messages: final assistant content cannot end with trailing whitespace")
	}
	t.continueLast(f)
}
