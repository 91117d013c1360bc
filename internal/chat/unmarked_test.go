package chat

import (
	"slices"
	"testing"

	"prunellm/infer/gbnf"
	"prunellm/openapi"
)

func unmarkedTurn(parallel bool) *openapi.Turn {
	return &openapi.Turn{
		Tools: []openapi.Tool{
			{Name: "time", ClientName: "time"}, {Name: "time_of-day", ClientName: "time_of-day"},
			{Name: "weather", ClientName: "weather", Parameters: []byte(`{"type":"object","properties":{"place":{"type":"string"}},"required":["place"],"additionalProperties":false}`)},
		},
		ToolChoice: openapi.ToolChoice{Mode: openapi.ToolsAuto}, ParallelToolCalls: parallel, Format: openapi.ResponseFormat{Type: openapi.FormatText},
	}
}

func TestCallsWithoutMarker(t *testing.T) {
	rome := call{"weather", `{"place": "Rome"}`}
	tests := map[string]struct {
		answer string
		text   string
		calls  []call
	}{
		"bare":                     {`{"name": "weather", "arguments": {"place": "Rome"}}`, "", []call{rome}},
		"fenced":                   {"```json\n{\"name\": \"weather\", \"arguments\": {\"place\": \"Rome\"}}\n```", "", []call{rome}},
		"fenced without language":  {"\n```\n{\"name\": \"weather\", \"arguments\": {\"place\": \"Rome\"}}\n```\n", "", []call{rome}},
		"indented":                 {"{\n  \"name\": \"weather\",\n  \"arguments\": {\"place\": \"Rome\"}\n}", "", []call{rome}},
		"parameters":               {`{"name":"weather","parameters":{"place": "Rome"}}`, "", []call{rome}},
		"several":                  {"```json\n{\"name\": \"time\", \"arguments\": {}}\n{\"name\": \"time_of-day\", \"arguments\": {}}\n```", "", []call{{"time", "{}"}, {"time_of-day", "{}"}}},
		"text":                     {"It is late. {\"name\": \"time\", \"arguments\": {}}", "It is late. {\"name\": \"time\", \"arguments\": {}}", nil},
		"another name":             {`{"name": "tim", "arguments": {}}`, `{"name": "tim", "arguments": {}}`, nil},
		"other JSON":               {"```json\n{\"answer\": 4}\n```", "```json\n{\"answer\": 4}\n```", nil},
		"code":                     {"```python\nprint(1)\n```", "```python\nprint(1)\n```", nil},
		"a marker behind a fence":  {"```json\n<tool_call>\n{\"name\": \"time\", \"arguments\": {}}\n</tool_call>", "```json\n", []call{{"time", "{}"}}},
		"a marker behind a brace":  {"{<tool_call>\n{\"name\": \"time\", \"arguments\": {}}\n</tool_call>", "{", []call{{"time", "{}"}}},
		"a brace alone":            {"{", "{", nil},
		"a fence alone":            {"```json", "```json", nil},
		"white space and one tick": {" `a`", " `a`", nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			turn := unmarkedTurn(true)
			template := &Template{syntax: hermes}
			for _, size := range []int{1, 2, 7, len(test.answer)} {
				text, calls := collect(t, template.Parser(turn, nil), test.answer, size)
				if text != test.text || !slices.Equal(calls, test.calls) {
					t.Errorf("in pieces of %d bytes: text %q, calls %q, want %q, %q", size, text, calls, test.text, test.calls)
				}
			}
			if !allows(t, template, turn, test.answer) {
				t.Error("the grammar does not allow the answer")
			}
			if one := allows(t, template, unmarkedTurn(false), test.answer); one != (len(test.calls) < 2) {
				t.Errorf("the grammar for a single call allows the answer: %v", one)
			}
		})
	}
}

// Once the tool's name is complete, the grammar forces a call to follow its schema.
func TestGrammarOfCallsWithoutMarker(t *testing.T) {
	template := &Template{syntax: hermes}
	for _, answer := range []string{
		`{"name": "time", "of": "day"}`,
		`{"name": "weather", "arguments": {"town": "Rome"}}`,
		"```json\n{\"name\": \"weather\", \"arguments\": {}}\n```",
		`{"name": "time", "arguments": {}} and so on`,
		`{"name": "time", "arguments": {}`,
	} {
		if allows(t, template, unmarkedTurn(true), answer) {
			t.Errorf("the grammar allows %q", answer)
		}
	}
	formatted := unmarkedTurn(true)
	formatted.Format = openapi.ResponseFormat{Type: openapi.FormatJSONObject}
	answer := `{"name": "time", "arguments": {}}`
	if text, calls := collect(t, template.Parser(formatted, nil), answer, 1); text != answer || len(calls) > 0 {
		t.Errorf("with a format: text %q, calls %q", text, calls)
	}
}

// allows reports whether the grammar for the answer to a turn allows an answer.
func allows(t *testing.T, template *Template, turn *openapi.Turn, answer string) bool {
	t.Helper()
	text, err := template.Grammar(turn, func(schema []byte, strict bool) (string, error) {
		if strict {
			return gbnf.FromSchema(schema)
		}
		return gbnf.FromSchemaRelaxed(schema)
	}, "format")
	if err != nil {
		t.Fatal(err)
	}
	grammar, err := gbnf.Parse(text)
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	m := grammar.Matcher()
	ok, err := m.Accepts([]byte(answer))
	if err != nil {
		t.Fatal(err)
	}
	if !ok {
		return false
	}
	if err := m.Advance([]byte(answer)); err != nil {
		t.Fatal(err)
	}
	return m.Complete()
}
