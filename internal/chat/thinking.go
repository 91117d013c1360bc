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

// Marks describes how a model writes its thinking.
type Marks struct {
	Begin, End string // before and after the thinking
	Close      string // written by the server to end the thinking; End as the model saw it in training
	Open       bool   // whether the prompt ends within the thinking
	Known      bool   // whether the marks come from the chat template and are not a guess
}

// marks has a row for each way to write thinking. The first row is also for models whose template has no marks, because
// some of them write these anyway.
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

// markers returns Begin and End of all rows. In some vocabularies they are control tokens. Clients send them back in
// the model's own messages, where templates look for them. They are harmless there, because they do not begin a turn.
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
	known  bool   // whether the template contains the marks
	key    string // name of the message's member that holds its thinking
	toggle string // variable that turns thinking on and off; "" if there is none
	words  bool   // whether a system message turns thinking off
}

// marksOf returns the row of marks for a template.
func marksOf(source string) Marks {
	for _, row := range marks {
		if strings.Contains(source, row.End) {
			return row
		}
	}
	return marks[0]
}

// reasoningKeys lists the names that templates use for a message's thinking, the most common first.
var reasoningKeys = []string{"reasoning_content", "reasoning", "thinking", "thought"}

// reasoningKeyOf returns the name that a template uses.
func reasoningKeyOf(source string) string {
	for _, key := range reasoningKeys {
		if regexp.MustCompile(`\b(?:message|msg|m)(?:\.|\[['"])` + key + `\b`).MatchString(source) {
			return key
		}
	}
	return reasoningKeys[0]
}

// noThink in a system message turns thinking off for models whose template has no variable for it.
const noThink = "/no_think"

var (
	statements = regexp.MustCompile(`(?s)\{%.*?%\}`)
	literals   = regexp.MustCompile(`(?s)'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"`)
)

// switchOf returns the variable that turns thinking on and off in a template, or "" if there is none. A template that
// only assigns the name, as in namespace(enable_thinking=true), does not read such a variable.
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

// thinkingOf returns how the model of a template thinks.
func thinkingOf(source string) thinking {
	out := thinking{marks: marksOf(source), key: reasoningKeyOf(source), toggle: switchOf(source)}
	out.known = strings.Contains(source, out.marks.End)
	out.words = out.toggle == "" && strings.Contains(source, noThink)
	return out
}

// String describes how the model thinks and how to turn thinking off.
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

// Thinks reports whether the template knows of thinking.
func (t *Template) Thinks() bool { return t.thinking.known }

// Marks returns how the model writes its thinking in the answer to a prompt. The end of the prompt is enough.
func (t *Template) Marks(prompt string) Marks {
	out := t.thinking.marks
	out.Known = t.thinking.known
	out.Open = strings.HasSuffix(strings.TrimRight(prompt, jsonSpace), out.Begin)
	return out
}

// MarksWithin returns how the model writes its thinking in an answer that continues the model's own text.
func (t *Template) MarksWithin(text string) Marks {
	out := t.thinking.marks
	out.Known = t.thinking.known
	out.Open = strings.LastIndex(text, out.Begin) > strings.LastIndex(text, out.End)
	return out
}

// VariableError is the error for a variable that a client may not set.
type VariableError struct{ Name string }

// Error implements error.
func (e *VariableError) Error() string {
	return e.Name + " is reserved: the server or the chat template sets it"
}

// With returns a copy of the template that follows a request's settings for thinking. It returns a *VariableError if
// the request sets a variable that comes from messages and tools, or that is a function.
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
