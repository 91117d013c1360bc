package chat

import (
	"slices"
	"strings"
	"testing"
)

const twoCalls = "<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"place\": \"K\\u00f6ln }\\\"\"}}\n</tool_call>\n" +
	"<tool_call>\n{\"name\": \"time\", \"arguments\": {}}\n</tool_call>"

// call is a tool call without its id.
type call struct{ Name, Arguments string }

// FuzzParser cuts an answer anywhere: the pieces, joined, are what the whole gives. Without a call all of it is text.
func FuzzParser(f *testing.F) {
	f.Add("Hello "+twoCalls, uint8(1), false, false)
	f.Add(`{"name": "time", "parameters": [1, "]"]}`, uint8(3), true, false)
	f.Add(` {"name": "tim", "parameters": {}}`, uint8(3), true, false)
	f.Add("<tool_call>{\"name\":\"time\",\"arguments\": 12}</tool_call><tool_call>", uint8(2), false, false)
	f.Add("<<tool_call>\n{\"nam", uint8(5), false, false)
	f.Add(`{"answer": "yes <tool_call> no"}`, uint8(5), false, true)
	f.Add(`{"name": "time", "of": "day"}`, uint8(5), true, true)
	f.Fuzz(func(t *testing.T, answer string, size uint8, isLlama, format bool) {
		syntax := hermes
		if isLlama {
			syntax = llama
		}
		whole, calls := collect(t, newParser(syntax, []string{"weather", "time"}, format), answer, len(answer)+1)
		cut, cutCalls := collect(t, newParser(syntax, []string{"weather", "time"}, format), answer, int(size)%19+1)
		if cut != whole || !slices.Equal(cutCalls, calls) {
			t.Errorf("in pieces of %d: %q %q, whole: %q %q", int(size)%19+1, cut, cutCalls, whole, calls)
		}
		if len(calls) == 0 && whole != answer && (isLlama || !strings.Contains(answer, "<tool_call>")) {
			t.Errorf("without a call the text is %q", whole)
		}
	})
}

func collect(t *testing.T, p *Parser, answer string, size int) (text string, calls []call) {
	var parts []Part
	for rest := answer; rest != ""; {
		n := min(size, len(rest))
		parts = append(parts, p.Feed(rest[:n])...)
		rest = rest[n:]
	}
	for _, part := range append(parts, p.End()...) {
		switch {
		case part.Call < 0:
			text += part.Text
		case part.ID != "":
			calls = append(calls, call{Name: part.Name})
		default:
			if part.Call != len(calls)-1 {
				t.Fatalf("part %+v after %d calls", part, len(calls))
			}
			calls[part.Call].Arguments += part.Arguments
		}
	}
	return text, calls
}
