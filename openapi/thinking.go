package openapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
)

// Limits of chat_template_kwargs.
const (
	maxTemplateVariables = 64
	maxTemplateBytes     = 1 << 16 // of all together
)

// EffortNone is the reasoning effort that turns thinking off.
const EffortNone = "none"

// Thinking holds a request's settings for the model's thinking before its answer. Every endpoint that has a Turn fills it.
type Thinking struct {
	Enabled   *bool                      // nil: the chat template's default
	Effort    string                     // empty: the chat template's default
	Budget    *int                       // maximum tokens; -1: no limit; nil: the server's default
	Hidden    bool                       // the response leaves the thinking out
	Variables map[string]json.RawMessage // of the chat template; package chat refuses names that templates use themselves
}

var (
	effort       = regexp.MustCompile(`^[a-z]{1,16}$`)
	variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,63}$`)
)

// budgetNames are the fields for the budget: llama-server's three, then vLLM's.
var budgetNames = []string{"thinking_budget_tokens", "reasoning_budget_tokens", "reasoning_budget", "thinking_token_budget"}

// readThinking reads the fields of llama-server and vLLM. If they disagree, the most specific one applies:
// chat_template_kwargs, then enable_thinking, then the effort and the budget. An effort of "none" and a budget of 0 turn
// thinking off.
func (t *Turn) readThinking(f *fields) {
	out := &t.Thinking
	f.readEffort("reasoning_effort", out)
	out.readBudget(f)
	if _, given := f.get("enable_thinking"); given {
		out.Enabled = new(bool)
		f.boolean("enable_thinking", out.Enabled)
	}
	include := true
	f.boolean("include_reasoning", &include)
	out.Hidden = !include
	f.only("reasoning_format", "reasoning is always separated from the answer", `"auto"`, `"deepseek"`)
	out.readVariables(f)
}

// readEffort reads a reasoning effort. Chat templates define the valid efforts, so it accepts any word.
func (f *fields) readEffort(name string, into *Thinking) {
	f.str(name, maxIdentifierSize, &into.Effort)
	switch {
	case into.Effort == "":
	case !effort.MatchString(into.Effort):
		f.refuse(name, CodeInvalidValue, "%s%s is not a word such as none, low, medium or high", f.path, name)
	case into.Effort == EffortNone:
		into.Enabled = new(bool)
	}
}

func (t *Thinking) readBudget(f *fields) {
	read := ""
	for _, name := range budgetNames {
		if _, given := f.get(name); !given {
			continue
		}
		tokens := 0
		f.count(name, -1, MaxTokensAsked, &tokens)
		if t.Budget != nil && *t.Budget != tokens {
			f.refuse(name, CodeInvalidValue, "%s is %d and %s is %d: send only one of them", name, tokens, read, *t.Budget)
			return
		}
		t.Budget, read = &tokens, name
		if tokens == 0 {
			t.Enabled = new(bool)
		}
	}
}

func (t *Thinking) readVariables(f *fields) {
	inner, given := f.object("chat_template_kwargs")
	if !given {
		return
	}
	raw := f.members["chat_template_kwargs"]
	switch {
	case len(inner.members) > maxTemplateVariables:
		f.refuse("chat_template_kwargs", CodeInvalidValue, "chat_template_kwargs has %d variables; the limit is %d", len(inner.members), maxTemplateVariables)
	case len(raw) > maxTemplateBytes:
		f.refuse("chat_template_kwargs", CodeInvalidValue, "chat_template_kwargs has %d bytes; the limit is %d", len(raw), maxTemplateBytes)
	case bytes.Contains(raw, []byte(`\u0000`)):
		f.refuse("chat_template_kwargs", CodeInvalidValue, "chat_template_kwargs contains a NUL character")
	}
	for name := range inner.members {
		if !variableName.MatchString(name) {
			f.refuse("chat_template_kwargs", CodeInvalidValue, "chat_template_kwargs has the name %.70q, which is not a valid name: use letters, digits and _", name)
		}
	}
	if _, said := inner.get("enable_thinking"); said {
		t.Enabled = new(bool)
		inner.boolean("enable_thinking", t.Enabled)
		if f.err == nil {
			f.err = inner.err
		}
	}
	t.Variables = inner.members
}

// thoughtText returns the text of a reasoning item in a response's input, or "" if its text is encrypted or absent.
func thoughtText(f *fields, i int, element json.RawMessage) string {
	item := &fields{path: fmt.Sprintf("input[%d].", i)}
	if f.err != nil || item.parse(element) != nil {
		return ""
	}
	if content, given := item.get("content"); !given || kindOf(content) == "an array" && firstOf(content) == nil {
		return ""
	}
	text := item.contentOf("content", "reasoning_text", "text")
	f.err = item.err
	return text
}
