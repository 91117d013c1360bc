package chat

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"strings"

	"prunellm/internal/chat/jinja"
	"prunellm/openapi"
)

// Marks are how a model writes its thinking.
type Marks struct {
	Begin, End string // around it
	Close      string // ends it where the model did not: End as the model has it in training
	Open       bool   // the prompt ends within it
	Known      bool   // the chat template has them; otherwise they are only a guess
}

// marks has a row for each way to write thinking. The first is also of models whose template has none: some print it all
// the same.
var marks = []Marks{
	{Begin: "<think>", End: "</think>", Close: "\n</think>\n\n"}, // Qwen 3, DeepSeek R1, SmolLM3 and most others
	{Begin: "[THINK]", End: "[/THINK]", Close: "[/THINK]"},       // Magistral, Ministral
	{Begin: "<seed:think>", End: "</seed:think>", Close: "\n</seed:think>\n"},
	{Begin: "<|START_THINKING|>", End: "<|END_THINKING|>", Close: "<|END_THINKING|>"},                           // Command
	{Begin: "<|inner_prefix|>", End: "<|inner_suffix|>", Close: "<|inner_suffix|>"},                             // Apertus
	{Begin: "<|channel>thought", End: "<channel|>", Close: "<channel|>"},                                        // Gemma 4
	{Begin: "Here are my reasoning steps:", End: "[BEGIN FINAL RESPONSE]", Close: "\n[BEGIN FINAL RESPONSE]\n"}, // Apriel
	{Begin: "<thinking>", End: "</thinking>", Close: "\n</thinking>\n"},
}

// markers are the texts of all rows. They are control tokens in some vocabularies. Clients send them back in the model's
// own messages, where templates look for them; they begin no turn.
func markers() []string {
	var out []string
	for _, row := range marks {
		out = append(out, row.Begin, row.End)
	}
	return out
}

// thinking is how one model thinks.
type thinking struct {
	marks  Marks
	known  bool   // the template has the marks
	key    string // of a message's thinking
	toggle string // the variable that turns it on and off; empty: there is none
	words  bool   // a system message turns it off
}

// marksOf finds the row of a template.
func marksOf(source string) Marks {
	for _, row := range marks {
		if strings.Contains(source, row.End) {
			return row
		}
	}
	return marks[0]
}

// reasoningKeys are the names that templates have for a message's thinking, the commonest first.
var reasoningKeys = []string{"reasoning_content", "reasoning", "thinking", "thought"}

// reasoningKeyOf finds the name in a template.
func reasoningKeyOf(source string) string {
	for _, key := range reasoningKeys {
		if regexp.MustCompile(`\b(?:message|msg|m)(?:\.|\[['"])` + key + `\b`).MatchString(source) {
			return key
		}
	}
	return reasoningKeys[0]
}

// noThink is what a system message says to models that have no variable for it.
const noThink = "/no_think"

var (
	statements = regexp.MustCompile(`(?s)\{%.*?%\}`)
	literals   = regexp.MustCompile(`(?s)'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"`)
)

// switchOf finds the variable that turns thinking on and off in a template; empty: there is none. An assignment alone, as
// in namespace(enable_thinking=true), reads no variable.
func switchOf(source string) string {
	for _, name := range []string{"enable_thinking", "thinking"} {
		reads := regexp.MustCompile(`[^.\w]` + name + `\b\s*(?:==|[^=\s])`)
		for _, statement := range statements.FindAllString(source, -1) {
			if reads.MatchString(literals.ReplaceAllString(statement, "''")) {
				return name
			}
		}
	}
	return ""
}

// thinkingOf is what a template says about thinking.
func thinkingOf(source string) thinking {
	out := thinking{marks: marksOf(source), key: reasoningKeyOf(source), toggle: switchOf(source)}
	out.known = strings.Contains(source, out.marks.End)
	out.words = out.toggle == "" && strings.Contains(source, noThink)
	return out
}

// String says how the model thinks and what turns that off.
func (t thinking) String() string {
	off := "the server closes it to turn it off"
	switch {
	case t.toggle != "":
		off = t.toggle + " turns it on and off"
	case t.words:
		off = noThink + " turns it off"
	}
	return fmt.Sprintf("the model thinks between %s and %s; %s", t.marks.Begin, t.marks.End, off)
}

// Marks returns how the model writes its thinking in the answer to a prompt, of which the end is enough.
func (t *Template) Marks(prompt string) Marks {
	out := t.thinking.marks
	out.Known = t.thinking.known
	out.Open = strings.HasSuffix(strings.TrimRight(prompt, jsonSpace), out.Begin)
	return out
}

// MarksWithin returns how the model writes its thinking in an answer that continues a text of its own.
func (t *Template) MarksWithin(text string) Marks {
	out := t.thinking.marks
	out.Known = t.thinking.known
	out.Open = strings.LastIndex(text, out.Begin) > strings.LastIndex(text, out.End)
	return out
}

// VariableError is a variable that a client may not give to a template.
type VariableError struct{ Name string }

// Error implements error.
func (e *VariableError) Error() string {
	return e.Name + " is the chat template's own name"
}

// With returns the template with what a request says about thinking. The error is a *VariableError: the request has a
// variable by a name that the template gets from messages and tools, or that is a function.
func (t *Template) With(asked openapi.Thinking) (*Template, error) {
	out := *t
	out.more = maps.Clone(t.more)
	if out.more == nil {
		out.more = map[string]json.RawMessage{}
	}
	own := t.variables(nil, nil, true)
	for name, value := range asked.Variables {
		if _, taken := own[name]; taken || jinja.Defines(name) {
			return nil, &VariableError{Name: name}
		}
		out.more[name] = value
	}
	set := func(name, value string) {
		if _, said := out.more[name]; !said && name != "" {
			out.more[name] = json.RawMessage(value)
		}
	}
	if asked.Effort != "" {
		set("reasoning_effort", `"`+asked.Effort+`"`)
	}
	if on := asked.Enabled; on != nil {
		set(t.thinking.toggle, map[bool]string{true: "true", false: "false"}[*on])
		out.mute = t.thinking.words && !*on
	}
	return &out, nil
}
