package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"

	"prunellm/internal/e2e/program"
)

// thinkingTemplate begins the thinking, like the templates of R1 distills, unless thinking is turned off. The default model was
// not trained for it and never ends it, so a budget must.
const thinkingTemplate = `{% for m in messages %}<|im_start|>{{ m.role }}
{{ m.content }}<|im_end|>
{% endfor %}<|im_start|>assistant
<think>
{%- if enable_thinking is defined and not enable_thinking %}

</think>

{% endif %}`

// thought is the result of a chat.
type thought struct {
	reasoning, content, finish string
	tokens                     int64
}

func think(t *testing.T, client openai.Client, params openai.ChatCompletionNewParams, more ...option.RequestOption) thought {
	t.Helper()
	chat, err := client.Chat.Completions.New(t.Context(), params, more...)
	if err != nil {
		t.Fatal(err)
	}
	choice := chat.Choices[0]
	out := thought{content: choice.Message.Content, finish: choice.FinishReason, tokens: chat.Usage.CompletionTokensDetails.ReasoningTokens}
	var names struct{ Reasoning_content, Reasoning string }
	if err := json.Unmarshal([]byte(choice.Message.RawJSON()), &names); err != nil || names.Reasoning != names.Reasoning_content {
		t.Errorf("message %s, %v", choice.Message.RawJSON(), err)
	}
	out.reasoning = names.Reasoning
	return out
}

// A real model thinks up to its budget, then the server ends the thinking. A schema constrains only the answer. The same holds
// for streams.
func TestReasoning(t *testing.T) {
	template := filepath.Join(t.TempDir(), "thinks.jinja")
	if err := os.WriteFile(template, []byte(thinkingTemplate), 0o600); err != nil {
		t.Fatal(err)
	}
	server := program.Start(t, "--ratio", "0", "--ctx", "1024", "--cache-dir", t.TempDir(), "--chat-template", template)
	server.WaitReady(program.WarmLimit)
	client := program.Client(server.Base)
	params := program.Question(name)
	params.MaxTokens = openai.Int(80)
	const budget = 12
	schema := []option.RequestOption{
		option.WithJSONSet("thinking_budget_tokens", budget),
		option.WithJSONSet("response_format", json.RawMessage(`{"type":"json_schema","json_schema":{"name":"colour","schema":
			{"type":"object","properties":{"colour":{"type":"string","maxLength":8}},"required":["colour"],"additionalProperties":false}}}`)),
	}
	got := think(t, client, params, schema...)
	var answer struct{ Colour *string }
	if err := json.Unmarshal([]byte(got.content), &answer); err != nil || answer.Colour == nil || got.finish != "stop" {
		t.Errorf("answer %+v, %v", got, err)
	}
	if got.reasoning == "" || strings.Contains(got.reasoning, "think>") || got.tokens < budget || got.tokens > budget+12 {
		t.Errorf("reasoning %+v, want about %d tokens", got, budget)
	}

	stream := client.Chat.Completions.NewStreaming(t.Context(), params, schema...)
	var content, reasoning strings.Builder
	for stream.Next() {
		for _, choice := range stream.Current().Choices {
			var delta struct{ Content, Reasoning string }
			if err := json.Unmarshal([]byte(choice.Delta.RawJSON()), &delta); err != nil {
				t.Fatal(err)
			}
			content.WriteString(delta.Content)
			reasoning.WriteString(delta.Reasoning)
		}
	}
	if err := stream.Err(); err != nil || content.String() != got.content || reasoning.String() != got.reasoning {
		t.Errorf("stream: reasoning %q, content %q, %v, want %+v", reasoning.String(), content.String(), err, got)
	}

	params.MaxTokens = openai.Int(16)
	if got := think(t, client, params); got.content != "" || got.finish != "length" || got.tokens != 16 {
		t.Errorf("without a budget: %+v, want only thinking", got)
	}
	for _, off := range []option.RequestOption{
		option.WithJSONSet("reasoning_effort", "none"), option.WithJSONSet("chat_template_kwargs", map[string]bool{"enable_thinking": false}),
	} {
		if got := think(t, client, params, off); got.reasoning != "" || got.tokens != 0 || got.content == "" {
			t.Errorf("turned off: %+v", got)
		}
	}
	server.Stop()
}
