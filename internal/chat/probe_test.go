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
