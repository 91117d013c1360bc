package jinja

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/nikolalohinski/gonja/v2/config"
	"github.com/nikolalohinski/gonja/v2/exec"
	"github.com/nikolalohinski/gonja/v2/loaders"
)

// ChatML is the template used when a model has none.
const ChatML = `{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}{% endfor %}` +
	`{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}`

// Message is one turn of a chat.
type Message struct {
	Role    string
	Content string
	Name    string // of the speaker; left out when empty

	ToolCalls  []ToolCall // of an assistant's turn
	ToolCallID string     // of a tool's turn: the call it answers; left out when empty
}

// ToolCall is a call that the model made in an earlier turn.
type ToolCall struct {
	ID, Name  string
	Arguments string // JSON; an object becomes one in the template, anything else stays text
}

// Template is a parsed chat template.
type Template struct {
	// Now is the clock that strftime_now reads; New sets it to time.Now.
	Now func() time.Time

	parsed   *exec.Template
	bos, eos string
}

// RaisedError says that the template refused the messages by raise_exception.
type RaisedError struct{ Message string }

// Error implements error.
func (e *RaisedError) Error() string { return e.Message }

// New parses a template; an empty one means ChatML. bos and eos are the texts of the model's special tokens.
func New(source, bos, eos string) (*Template, error) {
	if source == "" {
		source = ChatML
	}
	if err := check(source); err != nil {
		return nil, fmt.Errorf("chat template: %w", err)
	}
	parsed, err := parse(rewriteForGonja(source))
	if err != nil {
		return nil, fmt.Errorf("chat template: %w", err)
	}
	return &Template{Now: time.Now, parsed: parsed, bos: bos, eos: eos}, nil
}

// parse turns gonja's panics into errors, and its errors, which quote the whole source, into their last part.
func parse(source string) (parsed *exec.Template, err error) {
	defer func() {
		if reason := recover(); reason != nil {
			err = fmt.Errorf("parse: %v", reason)
		}
	}()
	settings := config.New()
	settings.TrimBlocks, settings.LeftStripBlocks = true, true // as transformers sets them
	parsed, err = exec.NewTemplate("chat", settings, onlySource(source), newEnvironment())
	if err != nil {
		text := strings.ReplaceAll(err.Error(), source, "…")
		return nil, fmt.Errorf("parse: %s", shorten(strings.TrimPrefix(text, "failed to parse template '…': ")))
	}
	return parsed, nil
}

// onlySource is a loader that knows this one template and no file.
type onlySource string

var _ loaders.Loader = onlySource("")

// Read implements loaders.Loader.
func (s onlySource) Read(path string) (io.Reader, error) {
	if path != "chat" {
		return nil, errors.New("chat templates cannot load others")
	}
	return strings.NewReader(string(s)), nil
}

// Resolve implements loaders.Loader.
func (s onlySource) Resolve(path string) (string, error) { return path, nil }

// Inherit implements loaders.Loader.
func (s onlySource) Inherit(string) (loaders.Loader, error) { return s, nil }

// Render gives the prompt for messages; with addGenerationPrompt it ends with the beginning of the model's turn. tools
// are JSON objects as in OpenAI's API.
func (t *Template) Render(messages []Message, addGenerationPrompt bool, tools ...json.RawMessage) (string, error) {
	values := map[string]any{
		"messages":              messageValues(messages),
		"add_generation_prompt": addGenerationPrompt,
		"bos_token":             t.bos,
		"eos_token":             t.eos,
		"tools":                 nil,
	}
	if len(tools) > 0 {
		list := make([]any, len(tools))
		for i, tool := range tools {
			value, err := decodeOrdered(tool)
			if err != nil {
				return "", fmt.Errorf("tool %d: %w", i, err)
			}
			list[i] = value
		}
		values["tools"] = list
	}
	return t.execute(values)
}

// messageValues makes fresh maps: a template may write to them.
func messageValues(messages []Message) []any {
	out := make([]any, len(messages))
	for i, m := range messages {
		value := map[string]any{"role": m.Role, "content": m.Content}
		if m.Name != "" {
			value["name"] = m.Name
		}
		if m.ToolCallID != "" {
			value["tool_call_id"] = m.ToolCallID
		}
		if len(m.ToolCalls) > 0 {
			value["tool_calls"] = callValues(m.ToolCalls)
		}
		out[i] = value
	}
	return out
}

func callValues(calls []ToolCall) []any {
	out := make([]any, len(calls))
	for i, call := range calls {
		var arguments any = call.Arguments
		if strings.HasPrefix(strings.TrimSpace(call.Arguments), "{") {
			if value, err := decodeOrdered(json.RawMessage(call.Arguments)); err == nil {
				arguments = value
			}
		}
		out[i] = map[string]any{
			"id": call.ID, "type": "function",
			"function": map[string]any{"name": call.Name, "arguments": arguments},
		}
	}
	return out
}

func (t *Template) execute(values map[string]any) (prompt string, err error) {
	run := &budget{deadline: time.Now().Add(maxTime)}
	values[budgetName] = run
	values["raise_exception"] = func(message *exec.Value) (string, error) {
		return "", run.fail(&RaisedError{Message: message.String()})
	}
	now := t.Now()
	values["strftime_now"] = func(format string) (string, error) { return strftime(now, format) }
	var out strings.Builder
	defer func() {
		if reason := recover(); reason != nil {
			prompt, err = "", fmt.Errorf("chat template: %v", reason)
		}
	}()
	err = t.parsed.Execute(&limitedWriter{out: &out, budget: run}, exec.NewContext(values))
	switch {
	case run.failed != nil: // gonja wraps errors in text
		return "", run.failed
	case err != nil:
		return "", fmt.Errorf("chat template: %s", shorten(err.Error()))
	}
	return out.String(), nil
}

// shorten keeps both ends of an error: gonja puts the place first and the reason last, and whole expressions between.
func shorten(text string) string {
	const most = 400
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most/2], "") + " … " + strings.ToValidUTF8(text[len(text)-most/2:], "")
}

// limitedWriter takes at most maxOutput bytes, and nothing once the budget is used up.
type limitedWriter struct {
	out     io.Writer
	written int
	budget  *budget
}

// Write implements io.Writer.
func (w *limitedWriter) Write(p []byte) (int, error) {
	if err := w.budget.check(); err != nil {
		return 0, err
	}
	if w.written += len(p); w.written > maxOutput {
		return 0, w.budget.fail(&LimitError{What: "output", Limit: maxOutput})
	}
	return w.out.Write(p)
}
