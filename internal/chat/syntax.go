package chat

import (
	"regexp"
	"strings"
)

// syntax is how a model writes tool calls.
type syntax struct {
	known       bool   // the template describes tools to the model itself
	open, close string // around a call
	marker      string // the beginning of open that tells a call from text; empty: a call is all of the answer
	arguments   string // name of the member that holds the arguments
}

var (
	// hermes is <tool_call>{"name": ..., "arguments": {...}}</tool_call>, once for each call.
	hermes = syntax{known: true, open: "<tool_call>\n", close: "\n</tool_call>", marker: "<tool_call>", arguments: "arguments"}
	// llama is one JSON object {"name": ..., "parameters": {...}} that is all of the answer.
	llama = syntax{known: true, arguments: "parameters"}
	// described is for models whose template knows no tools, or writes calls in a way that is not known here: the system
	// message describes the tools, and calls are written as in hermes.
	described = syntax{open: hermes.open, close: hermes.close, marker: hermes.marker, arguments: hermes.arguments}
)

// syntaxOf finds the syntax in what a template tells the model about tools.
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

// usesTools finds a template that reads the variable tools.
var usesTools = regexp.MustCompile(`\{%[^%]*\btools\b|\{\{[^}]*\btools\b`)
