package jinja

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// messages returns messages in which user and assistant take turns.
func messages(contents ...string) []any {
	out := make([]any, len(contents))
	for i, content := range contents {
		out[i] = Object{{Name: "role", Value: [...]string{"user", "assistant"}[i%2]}, {Name: "content", Value: content}}
	}
	return out
}

func TestRenderConcurrently(t *testing.T) {
	source, err := os.ReadFile("testdata/qwen3.jinja")
	if err != nil {
		t.Fatal(err)
	}
	template, err := New(string(source))
	if err != nil {
		t.Fatal(err)
	}
	variables := map[string]any{"messages": messages("Hi")}
	want, err := template.Render(variables)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 20 {
				if got, err := template.Render(variables); err != nil || got != want {
					t.Errorf("Render() = %q, %v, want %q", got, err, want)
				}
			}
		})
	}
	all.Wait()
}

// TestHostileTemplates renders templates that would hang the server, fill its memory or crash it.
func TestHostileTemplates(t *testing.T) {
	// A variable of six MiB; the limit is eight.
	large := "{% set x = '" + strings.Repeat("a", 3<<10) + "' | replace('a', '" + strings.Repeat("b", 2<<10) + "') %}"
	// Sixty levels of lists with two elements each take little memory, but are very long as text.
	nested := "{% set ns = namespace(s=[1], t=[1]) %}{% for a in range(60) %}{% set ns.s = [ns.s, ns.s] %}{% set ns.t = [ns.t, ns.t] %}{% endfor %}"
	joined := "{{ " + strings.Repeat("x ~ ", 8) + "x == 'y' }}"
	tests := map[string]string{
		"syntax":                "{% if %}",
		"unclosed":              "{% for m in messages %}",
		"unknown tag":           "{% exec 'rm' %}",
		"unknown filter":        "{{ 'a' | system }}",
		"include":               "{% include '/etc/passwd' %}",
		"import":                "{% import '/etc/passwd' as x %}",
		"extends":               "{% extends '/etc/passwd' %}",
		"endless loops":         "{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(99999) %}{% endfor %}{% endfor %}{% endfor %}",
		"huge range":            "{% for a in range(1000000000000) %}{% endfor %}",
		"recursion":             "{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}",
		"mutual recursion":      "{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}{{ a() }}{% endmacro %}{{ a() }}",
		"recursive loop":        "{% for a in messages recursive %}{{ loop(messages) }}{% endfor %}",
		"much output":           "{% for a in range(90000) %}{{ '" + strings.Repeat("x", 1000) + "' }}{% endfor %}",
		"doubling":              "{% set ns = namespace(s='xxxxxxxx') %}{% for a in range(60) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
		"doubling lists":        "{% set ns = namespace(s=[1,2]) %}{% for a in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
		"doubling by set":       "{% set ns = namespace(s='xx') %}{% for a in range(60) %}{% set t %}{{ ns.s }}{{ ns.s }}{% endset %}{% set ns.s = t %}{% endfor %}",
		"contains itself":       "{% set ns = namespace(a=1) %}{% set ns.me = ns %}{{ ns }}{{ ns | tojson }}",
		"repetition":            "{{ 'x' * 9999999999 }}",
		"padding":               "{{ 'x'.ljust(9999999999) }}{{ 'x' | center(9999999999) }}",
		"replacing":             "{% set a = 'x' %}{% for i in range(4) %}{% endfor %}{{ ('" + strings.Repeat("x", 5000) + "').replace('x', '" + strings.Repeat("y", 5000) + "') }}",
		"deep brackets":         "{{ " + strings.Repeat("(", 100000) + "1" + strings.Repeat(")", 100000) + " }}",
		"deep blocks":           strings.Repeat("{% if true %}", 5000) + strings.Repeat("{% endif %}", 5000),
		"many nots":             "{{ " + strings.Repeat("not ", 60000) + "1 }}",
		"too long":              strings.Repeat("x", maxSource+1),
		"modulo zero":           "{{ 1 % 0 }}",
		"attributes":            "{{ x" + strings.Repeat(".a", 60000) + " }}",
		"doubling by with":      large + strings.Repeat("{% with x = x ~ x %}", 90) + "{{ x | length }}" + strings.Repeat("{% endwith %}", 90),
		"doubling by for":       large + strings.Repeat("{% for x in [x ~ x] %}", 90) + "{{ x | length }}" + strings.Repeat("{% endfor %}", 90),
		"doubling by macro":     large + "{% macro m(x) %}{{ m(x ~ x) }}{% endmacro %}{{ m(x) }}",
		"joining a list":        large + "{{ [x, x, x, x, x, x, x, x] | join | length }}",
		"list as text":          large + "{{ [x, x, x, x, x, x, x, x] | string | length }}",
		"method of a list":      large + "{{ ','.join([x, x, x, x, x, x, x, x]) | length }}",
		"much set":              large + "{% set y %}" + strings.Repeat("{{ x }}", 5000) + "{% endset %}",
		"much in a macro":       large + "{% macro m() %}" + strings.Repeat("{{ x }}", 5000) + "{% endmacro %}{% set y = m() | length %}",
		"filters":               large + strings.Repeat("{% set y = x"+strings.Repeat(" | title", 60)+" %}", 60),
		"comparisons":           large + strings.Repeat(joined, 5000),
		"conditions":            large + strings.Repeat("{% if x ~ x == 'y' %}{% endif %}", 5000),
		"many conditions":       large + "{% if x == 'y' %}" + strings.Repeat("{% elif x ~ x == 'y' %}", 5000) + "{% endif %}",
		"doubling nested lists": nested + "{{ ns.s }}",
		"doubling JSON":         nested + "{{ ns.s | tojson }}",
		"comparing nested":      nested + "{{ ns.s == ns.t }}{{ [ns.s] == [ns.t] }}",
		"long sums":             "{{ " + strings.Repeat("1 + ", 50000) + "1 }}",
		"long alternatives":     "{{ " + strings.Repeat("0 or ", 50000) + "1 }}",
		"powers":                "{{ 9 ** 999999999 }}",
		"wide numbers":          "{{ '%999999999d' % 1 }}",
		"wide fields":           "{{ '{:999999999}'.format(1) }}",
		"repeated lists":        "{{ ([1] * 99999) * 99999 }}",
		"sums of lists":         "{{ [[1] * 50000] * 90000 | sum(start=[]) }}",
		"indenting":             large + "{{ x | indent(999999999) }}",
		"many lines":            large + "{{ (x | replace('b', '\n')).splitlines() | length }}",
		"characters":            large + "{{ x | list | length }}",
		"recursive macro loop":  "{% macro m(x) %}{% for i in range(9) %}{{ m(x) }}{% endfor %}{% endmacro %}{{ m(1) }}",
		"caller within caller":  "{% macro m() %}{% call m() %}{{ caller() }}{% endcall %}{% endmacro %}{{ m() }}",
	}
	for name, source := range tests {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			_, err := render(source, map[string]any{"messages": messages("Hi"), "add_generation_prompt": true})
			if err == nil {
				t.Error("New and Render return no error")
			} else if len(err.Error()) > 1000 {
				t.Errorf("the error has %d bytes", len(err.Error()))
			}
			if took := time.Since(start); took > maxTime+30*time.Second { // the last step may take long
				t.Errorf("rendering took %v", took)
			}
		})
	}
}

// TestLongTemplates renders harmless templates that are close to the limits of a tag.
func TestLongTemplates(t *testing.T) {
	tests := map[string]string{
		"texts in a dict":      "{% set names = {" + strings.Repeat("'aa': 'Afar',\n", 900) + "'ab': 'Abkhaz'} %}{{ names['ab'] }}",
		"texts in a list":      "{{ [" + strings.Repeat("\"x, y\", ", 900) + "'Abkhaz'] | last }}",
		"lines":                "{{\n'Ab'\n~\n(\n'kh'\r\n~\r\n['b',\n\n'az'][\n1\n]\n)\n}}{% if\n'a'\n==\n'b'\n%}!{% endif %}",
		"separate methods":     "{{ '' if " + strings.Repeat("'a'.upper() == 'b' or ", 30) + "false else 'Abkhaz' }}",
		"as qwen3 does":        "{{ 'a<think>Abkhaz\\n</think>b'.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') }}",
		"with":                 "{% with a = 'Ab', b = 'khaz' %}{{ a ~ b }}{% endwith %}{{ a }}{{ b }}",
		"set to a block":       "{% set a %}Ab{{ 'khaz' }}{% endset %}{{ a }}",
		"chained methods":      "{{ 'aBKHAZ'" + strings.Repeat(".upper().capitalize()", 30) + " }}",
		"in groups":            "{{ " + strings.Repeat("(", 60) + "'abkhaz'" + strings.Repeat(" | string).capitalize()", 60) + " }}",
		"in methods":           "{{ " + strings.Repeat("'a'.replace('a', ", 60) + "'Abkhaz'" + strings.Repeat(").capitalize()", 60) + " }}",
		"many in a list":       "{% set x = 'z' %}{{ ['Abkha', " + strings.Repeat("x, ", 50000) + "x][:2] | join }}",
		"attribute of a block": "{% set ns = namespace(a=1) %}{% set ns.a %}Abkhaz{% endset %}{{ ns.a }}",
		"any name":             "{% set __budget = 'Abkhaz' %}{{ __budget }}",
	}
	for name, source := range tests {
		t.Run(name, func(t *testing.T) {
			if got, err := render(source, nil); got != "Abkhaz" || err != nil {
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
		template, err := New(source)
		if err != nil {
			return
		}
		out, err := template.Render(map[string]any{"messages": messages("a", "b"), "add_generation_prompt": true})
		if err == nil && len(out) > maxOutput {
			t.Errorf("%d bytes of output", len(out))
		}
	})
}

func BenchmarkRender(b *testing.B) {
	source, err := os.ReadFile("testdata/smollm2.jinja")
	if err != nil {
		b.Fatal(err)
	}
	template, err := New(string(source))
	if err != nil {
		b.Fatal(err)
	}
	variables := map[string]any{"messages": messages("Hi", "Hello!", "Bye"), "add_generation_prompt": true}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := template.Render(variables); err != nil {
			b.Fatal(err)
		}
	}
}
