package chat

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"prunellm/internal/chat/jinja"
	"prunellm/openapi"
)

// ErrMessages is wrapped by the error of Prompt if the template rejects the messages. The rest of the error says why.
var ErrMessages = errors.New("chat template")

// ChatML is the template for models that have none.
const ChatML = `{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}{% endfor %}` +
	`{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}`

// Template is the chat format of one model.
type Template struct {
	jinja    *jinja.Template
	bos, eos string
	syntax   syntax
	thinking thinking
	more     map[string]json.RawMessage // further variables
	mute     bool                       // whether the system message must turn thinking off

	controls, answerControls *controls // for messages and tools, and for the model's own messages; nil before Guard

	source string // of the model's own template; "" if it has none
}

// New parses a model's chat template. An empty source means ChatML. bos and eos are the texts of the tokens that begin
// and end a sequence, or "" if the model has none.
func New(source, bos, eos string) (*Template, error) {
	own := source
	if source == "" {
		source = ChatML
	}
	parsed, err := jinja.New(source)
	if err != nil {
		return nil, err
	}
	return &Template{jinja: parsed, bos: bos, eos: eos, syntax: syntaxOf(source), thinking: thinkingOf(source), source: own}, nil
}

// Source returns the template's Jinja source.
func (t *Template) Source() string { return cmp.Or(t.source, ChatML) }

// SpecialTokens returns the texts of the tokens that begin and end a sequence, or "" if the model has none.
func (t *Template) SpecialTokens() (bos, eos string) { return t.bos, t.eos }

// Prompt renders messages as a prompt. With addGenerationPrompt the prompt ends with the beginning of the model's turn.
// If the template rejects the messages, the error wraps ErrMessages: it is the client's fault.
//
// If the template supports tools, it renders them. Otherwise the system message describes them, and calls and results
// in the history become text. After Guard, pass the prompt to Pieces or Text before using it.
func (t *Template) Prompt(messages []openapi.Message, tools []openapi.Tool, addGenerationPrompt bool) (string, error) {
	if t.syntax.known {
		return t.render(messages, tools, addGenerationPrompt)
	}
	plain := plainMessages(messages)
	if len(tools) == 0 {
		return t.render(plain, nil, addGenerationPrompt)
	}
	description := describeTools(tools)
	prompt, err := t.render(inSystem(plain, description), nil, addGenerationPrompt)
	if errors.Is(err, ErrMessages) && plain[0].Role == "user" { // some templates do not allow a system message
		first := plain[0]
		first.Content = description + "\n\n" + first.Content
		return t.render(append([]openapi.Message{first}, plain[1:]...), nil, addGenerationPrompt)
	}
	return prompt, err
}

// render renders the request's messages and tools as transformers does.
func (t *Template) render(messages []openapi.Message, tools []openapi.Tool, addGenerationPrompt bool) (string, error) {
	if t.mute {
		messages = inSystem(messages, noThink)
	}
	variables := t.variables(messages, tools, addGenerationPrompt)
	for name, value := range t.more {
		variables[name] = t.guarded("", value)
	}
	prompt, err := t.jinja.Render(variables)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrMessages, err)
	}
	return prompt, nil
}

// variables returns the template's variables that come from the request.
func (t *Template) variables(messages []openapi.Message, tools []openapi.Tool, addGenerationPrompt bool) map[string]any {
	turns := make([]any, len(messages))
	for i, m := range messages {
		turns[i] = t.guarded(m.Role, t.messageValue(m))
	}
	variables := map[string]any{
		"messages": turns, "tools": nil, "documents": nil, "add_generation_prompt": addGenerationPrompt,
		"bos_token": t.bos, "eos_token": t.eos,
	}
	if len(tools) > 0 {
		definitions := make([]any, len(tools))
		for i, tool := range tools {
			definitions[i] = definition(tool)
		}
		variables["tools"] = t.guarded("", definitions)
	}
	return variables
}

// messageValue returns a message in the form that templates expect. It omits empty members other than the content.
func (t *Template) messageValue(m openapi.Message) jinja.Object {
	value := jinja.Object{{Name: "role", Value: m.Role}, {Name: "content", Value: m.Content}}
	for _, member := range []jinja.Member{{Name: "name", Value: m.Name}, {Name: "tool_call_id", Value: m.ToolCallID}, {Name: t.thinking.key, Value: m.Reasoning}} {
		if member.Value != "" {
			value = append(value, member)
		}
	}
	if len(m.ToolCalls) == 0 {
		return value
	}
	calls := make([]any, len(m.ToolCalls))
	for i, call := range m.ToolCalls {
		calls[i] = jinja.Object{
			{Name: "id", Value: call.ID}, {Name: "type", Value: "function"},
			{Name: "function", Value: jinja.Object{
				{Name: "name", Value: call.Function.Name}, {Name: "arguments", Value: argumentsValue(call.Function.Arguments)},
			}},
		}
	}
	return append(value, jinja.Member{Name: "tool_calls", Value: calls})
}

// argumentsValue returns the arguments as JSON if they are a JSON object, and otherwise as text.
func argumentsValue(arguments string) any {
	raw := json.RawMessage(arguments)
	if strings.HasPrefix(strings.TrimSpace(arguments), "{") && json.Valid(raw) {
		return raw
	}
	return arguments
}
