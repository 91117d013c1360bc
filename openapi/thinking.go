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

// Thinking is what a request says about the model's thinking before its answer. Every endpoint that has a Turn fills it.
type Thinking struct {
	Enabled   *bool                      // nil: as the chat template has it
	Effort    string                     // empty: as the chat template has it
	Budget    *int                       // tokens at most, -1: any number; nil: the server's
	Hidden    bool                       // the response leaves it out
	Variables map[string]json.RawMessage // of the chat template; the template's own names are refused later
}

var (
	effort       = regexp.MustCompile(`^[a-z]{1,16}$`)
	variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,63}$`)
)

// budgetNames are the names of the budget: llama-server's, then vLLM's.
var budgetNames = []string{"thinking_budget_tokens", "reasoning_budget_tokens", "reasoning_budget", "thinking_token_budget"}

// readThinking reads the fields of llama-server and vLLM. The more exact one counts: chat_template_kwargs, then
// enable_thinking, then the effort and the budget, of which "none" and 0 turn thinking off.
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

// readEffort reads a reasoning effort. Templates know their own words, so any is passed on.
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
			f.refuse(name, CodeInvalidValue, "%s is %d and %s is %d; give only one", name, tokens, read, *t.Budget)
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
		f.refuse("chat_template_kwargs", CodeInvalidValue, "chat_template_kwargs has %d variables, want at most %d", len(inner.members), maxTemplateVariables)
	case len(raw) > maxTemplateBytes:
		f.refuse("chat_template_kwargs", CodeInvalidValue, "chat_template_kwargs has %d bytes, want at most %d", len(raw), maxTemplateBytes)
	case bytes.Contains(raw, []byte(`\u0000`)):
		f.refuse("chat_template_kwargs", CodeInvalidValue, "chat_template_kwargs holds a NUL character")
	}
	for name := range inner.members {
		if !variableName.MatchString(name) {
			f.refuse("chat_template_kwargs", CodeInvalidValue, "chat_template_kwargs has the name %.70q, want letters, digits and _", name)
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

// thoughtText is the text of a reasoning item of a response's input; empty if its text is encrypted, or it has none.
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
