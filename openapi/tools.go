package openapi

import (
	"encoding/json"
	"fmt"
	"regexp"
)

// Limits of tools and formats.
const (
	MaxTools        = 128
	MaxToolCalls    = 128     // of one message of the history
	MaxSchemaBytes  = 1 << 18 // of one JSON schema
	MaxGrammarBytes = 1 << 16 // of the extension grammar
	maxDescription  = 1 << 16 // of a tool's description
)

// Tool is a function that the model may ask the client to call.
type Tool struct {
	Name        string // for the prompt: 1 to 64 letters, digits, _ and -
	ClientName  string // the request's name, any text
	Description string
	Parameters  json.RawMessage // JSON schema of the arguments; nil: any object
	Strict      bool            // arguments must match the whole schema; otherwise, the parts that a grammar can express
}

// Modes of a ToolChoice.
const (
	ToolsAuto     = "auto"
	ToolsNone     = "none"
	ToolsRequired = "required"
)

// ToolChoice determines whether the model may or must call tools.
type ToolChoice struct {
	Mode string // ToolsAuto, ToolsNone or ToolsRequired
	Name string // with ToolsRequired: this function, exactly once; empty: any
}

// Formats of an answer.
const (
	FormatText       = "text"
	FormatJSONObject = "json_object"
	FormatJSONSchema = "json_schema"
)

// ResponseFormat constrains the text of an answer.
type ResponseFormat struct {
	Type   string          // FormatText, FormatJSONObject or FormatJSONSchema
	Field  string          // of the request, for errors; empty with FormatText
	Name   string          // of the schema
	Schema json.RawMessage // with FormatJSONSchema
	Strict bool            // sent by the client; the schema applies in any case
}

// Turn is a request for the next turn of a chat: the messages so far and the constraints of the answer.
type Turn struct {
	Messages          []Message
	Opening           Opening
	Tools             []Tool
	ToolChoice        ToolChoice
	ParallelToolCalls bool // one answer may contain several calls
	Format            ResponseFormat
	Thinking          Thinking
	SkippedTools      []string // types of tools that the server skipped, each once
}

func newTurn() Turn {
	return Turn{ParallelToolCalls: true, Format: ResponseFormat{Type: FormatText}, ToolChoice: ToolChoice{Mode: ToolsNone}}
}

var toolName = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,64}$`)

// readTools reads tools, tool_choice and parallel_tool_calls. nested selects the form: chats have a tool's name under
// "function", responses next to "type".
func (t *Turn) readTools(f *fields, nested bool) {
	skips := func(i int, element json.RawMessage) bool { return !nested && t.skipTool(f, i, element, "function") }
	known := t.readToolList(f, skips, func(tool *fields) Tool { return readTool(tool, nested) })
	t.readToolChoice(f, known, nested)
	t.nameTools()
	f.boolean("parallel_tool_calls", &t.ParallelToolCalls)
}

// readToolList reads the tools for which skips is false and returns their names.
func (t *Turn) readToolList(f *fields, skips func(int, json.RawMessage) bool, read func(*fields) Tool) map[string]bool {
	known := map[string]bool{}
	for i, element := range f.array("tools", 0, MaxTools) {
		if skips(i, element) {
			continue
		}
		inner := &fields{path: fmt.Sprintf("%stools[%d].", f.path, i)}
		if f.err = inner.parse(element); f.err != nil {
			return known
		}
		tool := read(inner)
		if f.err = inner.err; f.err == nil && known[tool.Name] {
			f.refuse(fmt.Sprintf("tools[%d]", i), CodeInvalidValue, "two tools have the name %q", tool.Name)
		}
		if f.err != nil {
			return known
		}
		known[tool.Name] = true
		t.Tools = append(t.Tools, tool)
	}
	if len(t.Tools) > 0 {
		t.ToolChoice.Mode = ToolsAuto
	}
	return known
}

func readTool(f *fields, nested bool) Tool {
	f.require("type")
	f.only("type", "the type must be function", `"function"`)
	inner := f
	if nested {
		f.require("function")
		var ok bool
		if inner, ok = f.object("function"); !ok {
			return Tool{}
		}
	}
	t := inner.tool("parameters")
	f.err = inner.err
	return t
}

// tool reads the fields that all forms of a tool have. parameters names the field with its schema.
func (f *fields) tool(parameters string) Tool {
	var t Tool
	f.require("name")
	f.str("name", maxIdentifierSize, &t.Name)
	f.checkText("name", t.Name)
	if f.err == nil && t.Name == "" {
		f.refuse("name", CodeInvalidValue, "%sname is empty", f.path)
	}
	t.ClientName = t.Name
	f.str("description", maxDescription, &t.Description)
	f.checkText("description", t.Description)
	f.boolean("strict", &t.Strict)
	t.Parameters = f.schema(parameters)
	return t
}

// schema reads a JSON schema, which must be an object. It returns nil if the member is absent.
func (f *fields) schema(name string) json.RawMessage {
	raw, ok := f.get(name)
	switch {
	case !ok:
		return nil
	case kindOf(raw) != "an object":
		f.wrongType(name, raw, "a JSON schema, which is an object")
	case len(raw) > MaxSchemaBytes:
		f.refuse(name, CodeInvalidValue, "%s%s has %d bytes; the limit is %d", f.path, name, len(raw), MaxSchemaBytes)
	}
	return raw
}

func (t *Turn) readToolChoice(f *fields, known map[string]bool, nested bool) {
	raw, ok := f.get("tool_choice")
	if !ok {
		return
	}
	if kindOf(raw) == "a string" {
		var mode string
		f.str("tool_choice", 64, &mode)
		switch {
		case mode != ToolsAuto && mode != ToolsNone && mode != ToolsRequired:
			f.refuse("tool_choice", CodeInvalidValue, "tool_choice is %q but must be none, auto, required or a function", mode)
		case mode == ToolsRequired && len(known) == 0:
			f.refuse("tool_choice", CodeInvalidValue, "tool_choice is required but the request has no tools")
		case len(known) > 0:
			t.ToolChoice.Mode = mode
		}
		return
	}
	choice, ok := f.object("tool_choice")
	if !ok {
		return
	}
	choice.require("type")
	choice.only("type", "a tool_choice must name a function", `"function"`)
	named := choice
	if nested && choice.err == nil {
		choice.require("function")
		if inner, ok := choice.object("function"); ok {
			named = inner
		}
	}
	var name string
	named.require("name")
	named.str("name", maxIdentifierSize, &name)
	if choice.err == nil {
		choice.err = named.err
	}
	if f.err = choice.err; f.err == nil && !known[name] {
		f.refuse("tool_choice", CodeInvalidValue, "tool_choice names the function %q, which tools does not list", name)
	}
	t.ToolChoice = ToolChoice{Mode: ToolsRequired, Name: name}
}

// readFormat reads a response format. nested selects where a schema's name is: chats have it under "json_schema",
// responses next to "type".
func readFormat(f *fields, name string, nested bool) ResponseFormat {
	format := ResponseFormat{Type: FormatText}
	inner, ok := f.object(name)
	if !ok {
		return format
	}
	inner.require("type")
	inner.str("type", 64, &format.Type)
	switch {
	case inner.err != nil:
	case format.Type == FormatJSONSchema:
		place := inner
		if nested {
			inner.require("json_schema")
			if place, ok = inner.object("json_schema"); !ok {
				break
			}
		}
		place.require("name")
		place.str("name", 64, &format.Name)
		if place.err == nil && !toolName.MatchString(format.Name) {
			place.refuse("name", CodeInvalidValue, "%sname is %q but must have 1 to 64 letters, digits, _ and -", place.path, format.Name)
		}
		place.boolean("strict", &format.Strict)
		place.require("schema")
		format.Schema = place.schema("schema")
		inner.err = place.err
	case format.Type == FormatJSONObject:
		if format.Schema = inner.schema("schema"); format.Schema != nil { // the form that llama.cpp accepts
			format.Type = FormatJSONSchema
		}
	case format.Type != FormatText:
		inner.refuse("type", CodeUnsupported, "%stype is %q but must be text, json_object or json_schema", inner.path, format.Type)
	}
	if f.err = inner.err; format.Type != FormatText {
		format.Field = f.path + name
	}
	return format
}
