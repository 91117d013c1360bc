package openapi

import (
	"fmt"
	"strings"
)

const maxToolName = 64 // maximum bytes of a tool's name in the prompt

// nameTools replaces tool names that models were not trained with, such as long ones or ones with dots or spaces, by
// unique plain names. Calls in the history and the tool choice use the new names too. ClientName returns the request's
// name.
func (t *Turn) nameTools() {
	taken := map[string]bool{}
	for _, tool := range t.Tools {
		if toolName.MatchString(tool.ClientName) {
			taken[tool.ClientName] = true
		}
	}
	names := map[string]string{}
	for i, tool := range t.Tools {
		if !toolName.MatchString(tool.ClientName) {
			t.Tools[i].Name = freeName(plainName(tool.ClientName), taken)
			taken[t.Tools[i].Name] = true
			names[tool.ClientName] = t.Tools[i].Name
		}
	}
	for _, message := range t.Messages {
		for i, call := range message.ToolCalls {
			if name, ok := names[call.Function.Name]; ok {
				message.ToolCalls[i].Function.Name = name
			}
		}
	}
	if name, ok := names[t.ToolChoice.Name]; ok {
		t.ToolChoice.Name = name
	}
}

// plainName replaces characters that a tool's name should not contain by _, and cuts it to the maximum length.
func plainName(name string) string {
	plain := strings.Map(func(r rune) rune {
		if r < 0x80 && toolName.MatchString(string(r)) {
			return r
		}
		return '_'
	}, name)
	return plain[:min(len(plain), maxToolName)]
}

// freeName returns a name that is not taken, with a number appended if necessary.
func freeName(name string, taken map[string]bool) string {
	free := name
	for i := 2; taken[free]; i++ {
		end := fmt.Sprintf("_%d", i)
		free = name[:min(len(name), maxToolName-len(end))] + end
	}
	return free
}
