package jinja

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// golden is one case of testdata/golden.json, made by testdata/gen.py with Python's Jinja2.
type golden struct {
	Template string            `json:"template"`
	Chat     string            `json:"chat"`
	Add      bool              `json:"add_generation_prompt"`
	Messages []goldenMessage   `json:"messages"`
	Tools    []json.RawMessage `json:"tools"`
	Want     string            `json:"want"`
	Raised   *string           `json:"raised"`
}

type goldenMessage struct{ Role, Content string }

func goldens(t testing.TB) []golden {
	t.Helper()
	raw, err := os.ReadFile("testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []golden
	if err := json.Unmarshal(raw, &cases); err != nil {
		t.Fatal(err)
	}
	return cases
}

func load(t testing.TB, name string) *Template {
	t.Helper()
	source, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	template, err := New(string(source), "<s>", "</s>")
	if err != nil {
		t.Fatalf("New(%s) = %v", name, err)
	}
	template.Now = func() time.Time { return time.Date(2026, 3, 4, 15, 6, 7, 0, time.UTC) }
	return template
}

func (g golden) messages() []Message {
	out := make([]Message, len(g.Messages))
	for i, m := range g.Messages {
		out[i] = Message{Role: m.Role, Content: m.Content}
	}
	return out
}

// TestAgainstJinja renders the templates of well-known models as Python's Jinja2 does.
func TestAgainstJinja(t *testing.T) {
	templates := map[string]*Template{}
	for _, g := range goldens(t) {
		template, ok := templates[g.Template]
		if !ok {
			template = load(t, g.Template)
			templates[g.Template] = template
		}
		name := strings.Join([]string{g.Template, g.Chat, map[bool]string{true: "add", false: "plain"}[g.Add]}, "/")
		t.Run(name, func(t *testing.T) {
			got, err := template.Render(g.messages(), g.Add, g.Tools...)
			var raised *RaisedError
			switch {
			case g.Raised != nil && !errors.As(err, &raised):
				t.Fatalf("Render() = %q, %v, want it to raise %q", got, err, *g.Raised)
			case g.Raised != nil:
				if raised.Message != *g.Raised {
					t.Errorf("raised %q, want %q", raised.Message, *g.Raised)
				}
			case err != nil:
				t.Fatal(err)
			default:
				if diff := cmp.Diff(g.Want, got); diff != "" {
					t.Errorf("differs from Jinja2 (-want +got):\n%s", diff)
				}
			}
		})
	}
}

func TestNoTemplateMeansChatML(t *testing.T) {
	template, err := New("", "", "")
	if err != nil {
		t.Fatal(err)
	}
	got, err := template.Render([]Message{{Role: "user", Content: "Hi"}}, true)
	if want := "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"; err != nil || got != want {
		t.Errorf("Render() = %q, %v, want %q", got, err, want)
	}
}

func TestRenderConcurrently(t *testing.T) {
	template := load(t, "qwen3.jinja")
	want, err := template.Render([]Message{{Role: "user", Content: "Hi"}}, true)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 20 {
				if got, err := template.Render([]Message{{Role: "user", Content: "Hi"}}, true); err != nil || got != want {
					t.Errorf("Render() = %q, %v, want %q", got, err, want)
				}
			}
		})
	}
	all.Wait()
}

// TestHostileTemplates are model files that would hang the server, fill its memory or end it.
func TestHostileTemplates(t *testing.T) {
	// Six MiB in a variable, which may hold eight.
	large := "{% set x = '" + strings.Repeat("a", 3<<10) + "' | replace('a', '" + strings.Repeat("b", 2<<10) + "') %}"
	joined := "{{ " + strings.Repeat("x ~ ", 8) + "x == 'y' }}"
	tests := map[string]string{
		"syntax":             "{% if %}",
		"unclosed":           "{% for m in messages %}",
		"unknown tag":        "{% exec 'rm' %}",
		"unknown filter":     "{{ 'a' | system }}",
		"include":            "{% include '/etc/passwd' %}",
		"import":             "{% import '/etc/passwd' as x %}",
		"extends":            "{% extends '/etc/passwd' %}",
		"endless loops":      "{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(99999) %}{% endfor %}{% endfor %}{% endfor %}",
		"huge range":         "{% for a in range(1000000000000) %}{% endfor %}",
		"recursion":          "{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}",
		"mutual recursion":   "{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}{{ a() }}{% endmacro %}{{ a() }}",
		"recursive loop":     "{% for a in messages recursive %}{{ loop(messages) }}{% endfor %}",
		"much output":        "{% for a in range(90000) %}{{ '" + strings.Repeat("x", 1000) + "' }}{% endfor %}",
		"doubling":           "{% set ns = namespace(s='xxxxxxxx') %}{% for a in range(60) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
		"doubling lists":     "{% set ns = namespace(s=[1,2]) %}{% for a in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
		"doubling by set":    "{% set ns = namespace(s='xx') %}{% for a in range(60) %}{% set t %}{{ ns.s }}{{ ns.s }}{% endset %}{% set ns.s = t %}{% endfor %}",
		"contains itself":    "{% set ns = namespace(a=1) %}{% set ns.me = ns %}{{ ns }}{{ ns | tojson }}",
		"repetition":         "{{ 'x' * 9999999999 }}",
		"padding":            "{{ 'x'.ljust(9999999999) }}{{ 'x' | center(9999999999) }}",
		"replacing":          "{% set a = 'x' %}{% for i in range(4) %}{% endfor %}{{ ('" + strings.Repeat("x", 5000) + "').replace('x', '" + strings.Repeat("y", 5000) + "') }}",
		"deep brackets":      "{{ " + strings.Repeat("(", 100000) + "1" + strings.Repeat(")", 100000) + " }}",
		"deep blocks":        strings.Repeat("{% if true %}", 5000) + strings.Repeat("{% endif %}", 5000),
		"many nots":          "{{ " + strings.Repeat("not ", 60000) + "1 }}",
		"too long":           strings.Repeat("x", maxSource+1),
		"modulo zero":        "{{ 1 % 0 }}",
		"budget overwritten": "{% set __budget = 1 %}{% for i in range(3) %}{% endfor %}",
		"chained methods":    "{{ 'a'" + strings.Repeat(".upper()", 60) + " }}",
		"methods in groups":  "{{ " + strings.Repeat("(", 60) + "'a'" + strings.Repeat(" | string).upper()", 60) + " }}",
		"methods in methods": "{{ " + strings.Repeat("'a'.replace('a', ", 60) + "'b'" + strings.Repeat(").upper()", 60) + " }}",
		"attributes":         "{{ x" + strings.Repeat(".a", 60000) + " }}",
		"doubling by with":   large + strings.Repeat("{% with x = x ~ x %}", 90) + "{{ x | length }}" + strings.Repeat("{% endwith %}", 90),
		"doubling by for":    large + strings.Repeat("{% for x in [x ~ x] %}", 90) + "{{ x | length }}" + strings.Repeat("{% endfor %}", 90),
		"doubling by macro":  large + "{% macro m(x) %}{{ m(x ~ x) }}{% endmacro %}{{ m(x) }}",
		"many in a list":     large + "{{ [" + strings.Repeat("x, ", 50000) + "x] | length }}",
		"joining a list":     large + "{{ [x, x, x, x, x, x, x, x] | join | length }}",
		"list as text":       large + "{{ [x, x, x, x, x, x, x, x] | string | length }}",
		"method of a list":   large + "{{ ','.join([x, x, x, x, x, x, x, x]) | length }}",
		"much set":           large + "{% set y %}" + strings.Repeat("{{ x }}", 5000) + "{% endset %}",
		"much set elsewhere": "{% set ns = namespace(a=1) %}{% set ns.a %}x{% endset %}",
		"much in a macro":    large + "{% macro m() %}" + strings.Repeat("{{ x }}", 5000) + "{% endmacro %}{% set y = m() | length %}",
		"filters":            large + strings.Repeat("{% set y = x"+strings.Repeat(" | title", 60)+" %}", 60),
		"comparisons":        large + strings.Repeat(joined, 5000),
		"conditions":         large + strings.Repeat("{% if x ~ x == 'y' %}{% endif %}", 5000),
		"many conditions":    large + "{% if x == 'y' %}" + strings.Repeat("{% elif x ~ x == 'y' %}", 5000) + "{% endif %}",
	}
	for name, source := range tests {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			template, err := New(source, "", "")
			if err == nil {
				_, err = template.Render([]Message{{Role: "user", Content: "Hi"}}, true)
			}
			if err == nil {
				t.Error("New and Render took it")
			} else if len(err.Error()) > 1000 {
				t.Errorf("the error has %d bytes", len(err.Error()))
			}
			if took := time.Since(start); took > maxTime+30*time.Second { // the last step may be a long one
				t.Errorf("took %v", took)
			}
		})
	}
}

// TestLongTemplates are harmless ones that come near the limits of a tag.
func TestLongTemplates(t *testing.T) {
	tests := map[string]string{
		"texts in a dict":  "{% set names = {" + strings.Repeat("'aa': 'Afar',\n", 900) + "'ab': 'Abkhaz'} %}{{ names['ab'] }}",
		"texts in a list":  "{{ [" + strings.Repeat("\"x, y\", ", 900) + "'Abkhaz'] | last }}",
		"lines":            "{{\n'Ab'\n~\n(\n'kh'\r\n~\r\n['b',\n\n'az'][\n1\n]\n)\n}}{% if\n'a'\n==\n'b'\n%}!{% endif %}",
		"separate methods": "{{ '' if " + strings.Repeat("'a'.upper() == 'b' or ", 30) + "false else 'Abkhaz' }}",
		"as qwen3 does":    "{{ 'a<think>Abkhaz\\n</think>b'.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') }}",
		"with":             "{% with a = 'Ab', b = 'khaz' %}{{ a ~ b }}{% endwith %}{{ a }}{{ b }}",
		"set to a block":   "{% set a %}Ab{{ 'khaz' }}{% endset %}{{ a }}",
	}
	for name, source := range tests {
		t.Run(name, func(t *testing.T) {
			template, err := New(source, "", "")
			if err != nil {
				t.Fatal(err)
			}
			if got, err := template.Render(nil, false); got != "Abkhaz" || err != nil {
				t.Errorf("Render = %q, %v, want Abkhaz", got, err)
			}
		})
	}
}

func TestStrftime(t *testing.T) {
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	for format, want := range map[string]string{
		"%d %b %Y": "04 Mar 2026", "%B %-d, %Y": "March 4, 2026", "%H:%M:%S": "05:06:07", "%A %j %%": "Wednesday 063 %", "": "",
	} {
		if got, err := strftime(now, format); err != nil || got != want {
			t.Errorf("strftime(%q) = %q, %v, want %q", format, got, err, want)
		}
	}
	for _, format := range []string{"%", "%Q", "%-"} {
		if got, err := strftime(now, format); err == nil {
			t.Errorf("strftime(%q) = %q, want an error", format, got)
		}
	}
}

func FuzzNew(f *testing.F) {
	files, err := filepath.Glob("testdata/*.jinja")
	if err != nil || len(files) == 0 {
		f.Fatalf("no templates: %v", err)
	}
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(source))
	}
	f.Fuzz(func(t *testing.T, source string) {
		template, err := New(source, "<s>", "</s>")
		if err != nil {
			return
		}
		out, err := template.Render([]Message{{Role: "system", Content: "a"}, {Role: "user", Content: "b"}}, true)
		if err == nil && len(out) > maxOutput {
			t.Errorf("%d bytes of output", len(out))
		}
	})
}

func BenchmarkRender(b *testing.B) {
	template := load(b, "smollm2.jinja")
	messages := []Message{{Role: "user", Content: "Hi"}, {Role: "assistant", Content: "Hello!"}, {Role: "user", Content: "Bye"}}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := template.Render(messages, true); err != nil {
			b.Fatal(err)
		}
	}
}
