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

// said feeds an answer to a parser byte by byte and returns its text and the number of calls.
func said(p *Parser, answer string, full bool) (text string, calls int) {
	var parts []Part
	for i := range len(answer) {
		parts = append(parts, p.Feed(answer[i:i+1])...)
	}
	for _, part := range append(parts, p.End(full)...) {
		if part.Call < 0 {
			text += part.Text
		} else if part.ID != "" {
			calls++
		}
	}
	return text, calls
}

// TestNoMarkerLeaks cuts answers off within the beginning of a call, by the token limit and by a stop string.
func TestNoMarkerLeaks(t *testing.T) {
	syntaxes := map[string]struct {
		syntax syntax
		call   string
	}{
		"hermes": {hermes, "<tool_call>\n{\"name\": \"time\", \"arguments\": "},
		"llama":  {llama, `{"name": "time", "parameters": `},
		"bare":   {hermes, `{"name": "time", "arguments": `},
	}
	fence := "```json\n"
	for cut := len(fence) + 1; cut < len(fence)+10; cut++ {
		answer := (fence + syntaxes["bare"].call)[:cut]
		if got, calls := said(newParser(hermes, []string{"time"}, false, nil), answer, true); got != "" || calls != 0 {
			t.Errorf("%q cut by the limit: text %q, %d calls", answer, got, calls)
		}
	}
	for name, test := range syntaxes {
		for _, before := range []string{"", "\n\n", "Let me see.\n"} {
			if name != "hermes" && before == "Let me see.\n" { // in this syntax a call is the whole answer
				continue
			}
			want := before
			if strings.TrimSpace(before) == "" { // white space before a call is not text
				want = ""
			}
			for cut := 1; cut < len(test.call)-1; cut++ {
				began, rest := test.call[:cut], test.call[cut:]
				if got, calls := said(newParser(test.syntax, []string{"time"}, false, nil), before+began, true); got != want || calls != 0 {
					t.Errorf("%s, %q cut by the limit: text %q, %d calls, want %q", name, before+began, got, calls, want)
				}
				for _, stop := range []string{rest[:1], rest, rest + "{}"} {
					if got, calls := said(newParser(test.syntax, []string{"time"}, false, []string{"zzz", stop}), before+began, false); got != want || calls != 0 {
						t.Errorf("%s, %q cut by %q: text %q, %d calls, want %q", name, before+began, stop, got, calls, want)
					}
				}
			}
		}
	}
}

// TestTextThatLooksLikeAMarker checks text that begins like a marker but is not a call: the answer ends there or
// continues differently.
func TestTextThatLooksLikeAMarker(t *testing.T) {
	tests := map[string]struct {
		syntax syntax
		answer string
		format bool
		stops  []string
		full   bool
	}{
		"ends with <":                         {hermes, "if a <", false, nil, false},
		"ends with < at the limit":            {hermes, "if a <", false, nil, true},
		"ends within a marker":                {hermes, "a <b> <tool", false, nil, false},
		"stops with another text":             {hermes, "a <tool", false, []string{"box>"}, false},
		"another tag at the limit":            {hermes, "a <b> <tx", false, nil, true},
		"ends with <, alone":                  {hermes, "<", false, nil, false},
		"Llama's ends with a brace":           {llama, "It is {", false, nil, true},
		"Llama's JSON that stops":             {llama, `{"na`, false, []string{"zzz"}, false},
		"Llama's JSON of a format, the limit": {llama, `{"name": "ti`, true, nil, true},
		"JSON of a format at the limit":       {hermes, `{"a": "<tool`, true, nil, true},
		"white space at the limit":            {hermes, " \n", false, nil, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, calls := said(newParser(test.syntax, []string{"time"}, test.format, test.stops), test.answer, test.full)
			if got != test.answer || calls != 0 {
				t.Errorf("text %q and %d calls, want %q", got, calls, test.answer)
			}
		})
	}
}

// FuzzParser feeds an answer in pieces and whole. Both must give the same text and calls. If there is no call, the
// whole answer must be text.
func FuzzParser(f *testing.F) {
	f.Add("Hello "+twoCalls, uint8(1), false, false)
	f.Add(`{"name": "time", "parameters": [1, "]"]}`, uint8(3), true, false)
	f.Add(` {"name": "tim", "parameters": {}}`, uint8(3), true, false)
	f.Add("<tool_call>{\"name\":\"time\",\"arguments\": 12}</tool_call><tool_call>", uint8(2), false, false)
	f.Add("<<tool_call>\n{\"nam", uint8(5), false, false)
	f.Add("```json\n{\"name\": \"time\", \"arguments\": {}}\n```", uint8(4), false, false)
	f.Add("\n{\"name\": \"time\", \"arguments\": {}} {\"name\": 4}", uint8(4), false, false)
	f.Add(`{"answer": "yes <tool_call> no"}`, uint8(5), false, true)
	f.Add(`{"name": "time", "of": "day"}`, uint8(5), true, true)
	f.Fuzz(func(t *testing.T, answer string, size uint8, isLlama, format bool) {
		syntax := hermes
		if isLlama {
			syntax = llama
		}
		whole, calls := collect(t, newParser(syntax, []string{"weather", "time"}, format, nil), answer, len(answer)+1)
		cut, cutCalls := collect(t, newParser(syntax, []string{"weather", "time"}, format, nil), answer, int(size)%19+1)
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
	for _, part := range append(parts, p.End(false)...) {
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
