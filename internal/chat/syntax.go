package chat

import (
	"regexp"
	"strings"
)

// syntax is how a model writes tool calls.
type syntax struct {
	known       bool   // whether the template describes tools to the model
	open, close string // before and after a call
	marker      string // the beginning of open that distinguishes a call from text; if empty, a call is the whole answer
	arguments   string // name of the member that holds the arguments
}

var (
	// hermes writes <tool_call>{"name": ..., "arguments": {...}}</tool_call> for each call.
	hermes = syntax{known: true, open: "<tool_call>\n", close: "\n</tool_call>", marker: "<tool_call>", arguments: "arguments"}
	// llama writes one call as a JSON object {"name": ..., "parameters": {...}}, which is the whole answer.
	llama = syntax{known: true, arguments: "parameters"}
	// described is for models whose template does not support tools, or writes calls in an unknown way. The system
	// message describes the tools, and calls are written as in hermes.
	described = syntax{open: hermes.open, close: hermes.close, marker: hermes.marker, arguments: hermes.arguments}
)

// syntaxOf returns the syntax of a template, which it recognizes by what the template tells the model about tools.
func syntaxOf(source string) syntax {
	switch {
	case !usesTools.MatchString(source):
		return described
	case strings.Contains(source, "<tool_call>") && strings.Contains(source, "arguments"):
		return hermes
	case strings.Contains(source, `"parameters": dictionary of argument name`):
		return llama
	}
	return described
}

// usesTools matches a template that reads the variable tools.
var usesTools = regexp.MustCompile(`\{%[^%]*\btools\b|\{\{[^}]*\btools\b`)
