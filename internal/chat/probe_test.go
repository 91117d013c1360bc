package chat

import (
	"strings"
	"testing"
)

func TestProbe(t *testing.T) {
	prompt, notes, err := newTemplate(t, plainSource).Probe()
	if err != nil || prompt != "[user]Hello" || len(notes) > 0 {
		t.Errorf("Probe() = %q, %q, %v", prompt, notes, err)
	}
	picky := "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system') }}{% endif %}{{ m.role }}" +
		"{% if m.role == 'assistant' %}{{ m.nothing.more }}{% endif %}{% endfor %}"
	_, notes, err = newTemplate(t, picky).Probe()
	want := []string{"refuses a system message: ", "fails on several turns: ", "fails on a tool call: "}
	if err != nil || len(notes) != len(want) {
		t.Fatalf("Probe() = %q, %v, want notes %q", notes, err, want)
	}
	for i, note := range notes {
		if !strings.HasPrefix(note, want[i]) {
			t.Errorf("note %q, want %q", note, want[i])
		}
	}
	if _, _, err := newTemplate(t, "{{ messages[0].nothing.more }}").Probe(); err == nil || !strings.Contains(err.Error(), "has no attribute 'nothing'") {
		t.Errorf("Probe() of a template that fails = %v", err)
	}
}

// TestDescribeThinking checks that Describe says how a model thinks if its template supports thinking.
func TestDescribeThinking(t *testing.T) {
	public := publicTemplates(t)
	for source, want := range map[string]string{
		public["Qwen-Qwen3-0.6B"]:                          "the model thinks between <think> and </think>; enable_thinking turns it on and off",
		public["NVIDIA-Nemotron-Nano-v2"]:                  "the model thinks between <think> and </think>; /no_think turns it off",
		public["deepseek-ai-DeepSeek-R1-Distill-Llama-8B"]: "the model thinks between <think> and </think>; the server closes it to turn it off",
		plainSource: "",
	} {
		lines, err := newTemplate(t, source).Describe()
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(lines, "\n"); want != "" && !strings.Contains(got, want) || want == "" && strings.Contains(got, "thinks") {
			t.Errorf("lines %q, want %q", got, want)
		}
	}
}
