package openapi

import (
	"fmt"
	"strings"
)

const maxToolName = 64 // bytes of a tool's name, as a model gets it

// nameTools gives tools names that models are used to, as OpenAI's API has them: a name with dots or spaces, or a long one,
// becomes another that no other tool has. Calls in the history and the tool choice follow. ClientName keeps the request's.
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

// plainName replaces what a tool's name should not have by _, and cuts it.
func plainName(name string) string {
	plain := strings.Map(func(r rune) rune {
		if r < 0x80 && toolName.MatchString(string(r)) {
			return r
		}
		return '_'
	}, name)
	return plain[:min(len(plain), maxToolName)]
}

// freeName adds the first number to a name with which it is not taken.
func freeName(name string, taken map[string]bool) string {
	free := name
	for i := 2; taken[free]; i++ {
		end := fmt.Sprintf("_%d", i)
		free = name[:min(len(name), maxToolName-len(end))] + end
	}
	return free
}
