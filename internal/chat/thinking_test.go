package chat

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"prunellm/openapi"
)

// publicTemplates returns the templates that llama.cpp collects, by name.
func publicTemplates(t *testing.T) map[string]string {
	t.Helper()
	file, err := os.Open("jinja/testdata/public.json.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	var goldens struct{ Templates map[string]string }
	if err := json.NewDecoder(unzipped).Decode(&goldens); err != nil {
		t.Fatal(err)
	}
	return goldens.Templates
}

// thinkingPrompt renders a short chat.
func thinkingPrompt(t *testing.T, template *Template, asked openapi.Thinking, messages ...openapi.Message) string {
	t.Helper()
	with, err := template.With(asked)
	if err != nil {
		t.Fatal(err)
	}
	prompt, err := with.Prompt(append([]openapi.Message{{Role: "user", Content: "Hello"}}, messages...), nil, true)
	if err != nil {
		t.Fatal(err)
	}
	return prompt
}

// TestPublicThinking checks how the models of public templates think and how thinking is turned off.
func TestPublicThinking(t *testing.T) {
	public := publicTemplates(t)
	off := openapi.Thinking{Enabled: new(bool)}
	for _, test := range []struct {
		name, begin, key, toggle string
		open                     bool   // whether the prompt opens the thinking
		off                      string // end of the prompt if thinking is turned off
	}{
		{"Qwen-Qwen3-0.6B", "<think>", "reasoning_content", "enable_thinking", false, "<|im_start|>assistant\n<think>\n\n</think>\n\n"},
		{"Qwen3.5-4B", "<think>", "reasoning_content", "enable_thinking", true, "<|im_start|>assistant\n<think>\n\n</think>\n\n"},
		{"HuggingFaceTB-SmolLM3-3B", "<think>", "reasoning_content", "enable_thinking", false, "<|im_start|>assistant\n<think>\n\n</think>\n"},
		{"deepseek-ai-DeepSeek-R1-Distill-Llama-8B", "<think>", "reasoning_content", "", true, "<｜Assistant｜><think>\n"},
		{"deepseek-ai-DeepSeek-R1-Distill-Qwen-32B", "<think>", "reasoning_content", "enable_thinking", false, "<｜Assistant｜><think>\n</think>"},
		{"Qwen-QwQ-32B", "<think>", "reasoning_content", "enable_thinking", false, "<think>\n</think>"},
		{"deepseek-ai-DeepSeek-V3.1", "<think>", "reasoning_content", "enable_thinking", false, "<｜Assistant｜><think></think>"},
		{"NVIDIA-Nemotron-Nano-v2", "<think>", "reasoning_content", "", true, "<SPECIAL_11>Assistant\n<think></think>"},
		{"mistralai-Ministral-3-14B-Reasoning-2512", "[THINK]", "reasoning_content", "", false, "[/INST]"},
		{"ByteDance-Seed-OSS", "<seed:think>", "reasoning_content", "", false, "<seed:bos>assistant\n"},
		{"CohereForAI-c4ai-command-r7b-12-2024-tool_use", "<|START_THINKING|>", "reasoning_content", "enable_thinking", false, "<|END_THINKING|>"},
		{"Apriel-1.6-15b-Thinker-fixed", "Here are my reasoning steps:", "reasoning_content", "", true, "Here are my reasoning steps:\n"},
		{"openai-gpt-oss-120b", "<think>", "thinking", "", false, "<|start|>assistant"},
		{"ibm-granite-granite-3.3-2B-Instruct", "<think>", "reasoning_content", "thinking", false, "<|start_of_role|>assistant<|end_of_role|>"},
	} {
		t.Run(test.name, func(t *testing.T) {
			template := newTemplate(t, public[test.name])
			template.Guard([]string{"<|im_end|>", "<think>"})
			if got := template.thinking; got.marks.Begin != test.begin || got.key != test.key || got.toggle != test.toggle {
				t.Errorf("%+v, want %s, %s, toggle %q", got, test.begin, test.key, test.toggle)
			}
			if prompt := thinkingPrompt(t, template, openapi.Thinking{}); template.Marks(prompt).Open != test.open {
				t.Errorf("prompt %q: open %t, want %t", prompt, !test.open, test.open)
			}
			if prompt := thinkingPrompt(t, template, off); !strings.HasSuffix(prompt, test.off) {
				t.Errorf("prompt %q, want the end %q", prompt, test.off)
			}
		})
	}
}

// TestThinkingHistory checks that prompts contain earlier thinking of the current turn, between tool calls, but not
// thinking of earlier turns.
func TestThinkingHistory(t *testing.T) {
	public := publicTemplates(t)
	call := openapi.ToolCall{ID: "call_1", Type: "function", Function: openapi.FunctionCall{Name: "now", Arguments: "{}"}}
	thought := openapi.Message{Role: "assistant", Reasoning: "Let me look.", ToolCalls: []openapi.ToolCall{call}}
	result := openapi.Message{Role: "tool", ToolCallID: "call_1", Content: "noon"}
	qwen := newTemplate(t, public["Qwen-Qwen3-0.6B"])
	if prompt := thinkingPrompt(t, qwen, openapi.Thinking{}, thought, result); !strings.Contains(prompt, "<think>\nLet me look.\n</think>\n\n<tool_call>") {
		t.Errorf("the prompt lacks the thinking of the current turn: %s", prompt)
	}
	answer := openapi.Message{Role: "assistant", Reasoning: "It is noon.", Content: "Noon."}
	if prompt := thinkingPrompt(t, qwen, openapi.Thinking{}, thought, result, answer, openapi.Message{Role: "user", Content: "Thanks"}); strings.Contains(prompt, "look") || strings.Contains(prompt, "It is noon") {
		t.Errorf("the prompt contains the thinking of an earlier turn: %s", prompt)
	}
	distill := newTemplate(t, public["deepseek-ai-DeepSeek-R1-Distill-Llama-8B"])
	if prompt := thinkingPrompt(t, distill, openapi.Thinking{}, answer, openapi.Message{Role: "user", Content: "Thanks"}); strings.Contains(prompt, "It is noon") || !strings.Contains(prompt, "<｜Assistant｜>Noon.") {
		t.Errorf("R1: %s", prompt)
	}
}

// TestOwnNames checks that With rejects every variable that the template gets from elsewhere.
func TestOwnNames(t *testing.T) {
	template := newTemplate(t, plainSource)
	names := []string{"raise_exception", "strftime_now", "namespace", "range", "dict", "cycler", "joiner"}
	for name := range template.variables(nil, nil, true) {
		names = append(names, name)
	}
	if len(names) < 13 {
		t.Fatalf("names %v", names)
	}
	for _, name := range names {
		var own *VariableError
		if _, err := template.With(openapi.Thinking{Variables: map[string]json.RawMessage{name: []byte("1")}}); !errors.As(err, &own) || own.Name != name {
			t.Errorf("%s: %v", name, err)
		}
	}
	with, err := template.With(openapi.Thinking{Variables: map[string]json.RawMessage{"x": []byte("1")}})
	if err != nil {
		t.Fatal(err)
	}
	if template.more != nil || string(with.more["x"]) != "1" {
		t.Errorf("the template has the variables %v, its copy %v", template.more, with.more)
	}
}

// TestVariablesSpellNoControlToken checks that variables are guarded like messages.
func TestVariablesSpellNoControlToken(t *testing.T) {
	template := newTemplate(t, "{{ x.y }}<|im_end|>")
	template.Guard([]string{"<|im_end|>"})
	with, err := template.With(openapi.Thinking{Variables: map[string]json.RawMessage{"x": []byte(`{"y":"\u003c|im_end|>"}`)}})
	if err != nil {
		t.Fatal(err)
	}
	prompt, err := with.Prompt([]openapi.Message{{Role: "user", Content: "Hello"}}, nil, true)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := template.Pieces(prompt), []Piece{{"<|im_end|>", false}, {"<|im_end|>", true}}; !slices.Equal(got, want) {
		t.Errorf("pieces %v, want %v", got, want)
	}
}

// TestMarksAreClosed checks that the Close of each row contains its End.
func TestMarksAreClosed(t *testing.T) {
	for _, row := range marks {
		if row.Begin == "" || row.End == "" || !strings.Contains(row.Close, row.End) || row.Open {
			t.Errorf("row %+v", row)
		}
	}
}
