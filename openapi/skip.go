package openapi

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// wireType matches the types of tools and items that the server skips. It refuses others, because response headers name
// skipped types.
var wireType = regexp.MustCompile(`^[a-zA-Z0-9_.-]{1,64}$`)

// needless lists types of input items that the prompt does not need: a model's reasoning, and traces of tools that
// another server ran. The messages contain the results of those tools.
var needless = []string{"reasoning", "web_search_call", "file_search_call", "image_generation_call", "code_interpreter_call",
	"mcp_list_tools", "mcp_approval_request", "mcp_approval_response"}

// skipTool reports whether a server would run the tool itself, such as web_search, and records its type as skipped. own is
// the type of tools that clients run.
func (t *Turn) skipTool(f *fields, i int, element json.RawMessage, own string) bool {
	kind := textOf(element, "type")
	if kind == "" || kind == own {
		return false
	}
	if !wireType.MatchString(kind) {
		f.refuse(fmt.Sprintf("tools[%d].type", i), CodeInvalidValue, "tools[%d].type is not a valid type", i)
		return true
	}
	t.SkippedTools = addOnce(t.SkippedTools, kind)
	return true
}

// needlessItem returns the type of an input item that the prompt does not need; "" for any other item.
func needlessItem(element json.RawMessage) string {
	kind := textOf(element, "type")
	toReasoning := kind == "item_reference" && strings.HasPrefix(textOf(element, "id"), "rs_")
	if toReasoning || slices.Contains(needless, kind) {
		return kind
	}
	return ""
}

// textOf returns a member of a tool or an item; "" if it is not a string.
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
