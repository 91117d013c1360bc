package openapi

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// wireType is what types of tools and items look like; others are refused, as responses name skipped ones in headers.
var wireType = regexp.MustCompile(`^[a-zA-Z0-9_.-]{1,64}$`)

// needless are items of a response's input without which the conversation is whole: a model's reasoning, and traces of
// tools that another server ran, whose results are in its messages.
var needless = []string{"reasoning", "web_search_call", "file_search_call", "image_generation_call", "code_interpreter_call",
	"mcp_list_tools", "mcp_approval_request", "mcp_approval_response"}

// skipTool leaves out a tool that servers run themselves, such as web_search, and reports whether the tool is one.
func (t *Turn) skipTool(f *fields, i int, element json.RawMessage) bool {
	kind := textOf(element, "type")
	if kind == "" || kind == "function" {
		return false
	}
	if !wireType.MatchString(kind) {
		f.refuse(fmt.Sprintf("tools[%d].type", i), CodeInvalidValue, "tools[%d].type is not a type of tools", i)
		return true
	}
	t.SkippedTools = addOnce(t.SkippedTools, kind)
	return true
}

// needlessItem returns the type of an input item that can be left out; "" for any other.
func needlessItem(element json.RawMessage) string {
	kind := textOf(element, "type")
	toReasoning := kind == "item_reference" && strings.HasPrefix(textOf(element, "id"), "rs_")
	if toReasoning || slices.Contains(needless, kind) {
		return kind
	}
	return ""
}

// textOf is a member of a tool or an item; "" where that is not a text.
func textOf(element json.RawMessage, name string) (text string) {
	f := &fields{}
	if f.parse(element) != nil {
		return ""
	}
	if f.str(name, maxIdentifierSize, &text); f.err != nil {
		return ""
	}
	return text
}

func addOnce(list []string, text string) []string {
	if slices.Contains(list, text) {
		return list
	}
	return append(list, text)
}
