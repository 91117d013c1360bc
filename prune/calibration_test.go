package prune

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLoadText(t *testing.T) {
	tests := map[string]struct {
		file, content string
		want          []string
		fault         string
	}{
		"plain":       {"a.txt", "one\ntwo\n", []string{"one\ntwo\n"}, ""},
		"text":        {"a.jsonl", `{"text":"one"}` + "\n\n" + `{"content":"two"}`, []string{"one", "two"}, ""},
		"messages":    {"a.ndjson", `{"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":"ho"}]}`, []string{"hi\nho"}, ""},
		"mark":        {"a.txt", "\ufeffone", []string{"one"}, ""},
		"json mark":   {"a.jsonl", "\ufeff" + `{"text":"one"}`, []string{"one"}, ""},
		"json empty":  {"a.jsonl", `{"text":""}` + "\n" + `{"text":"one"}` + "\n" + `{"text":" "}`, []string{"one"}, ""},
		"all empty":   {"a.jsonl", `{"text":""}`, nil, "no lines with text"},
		"records":     {"a.txt", `{"text":"one"}` + "\n" + `{"text":"two"}`, nil, ".jsonl"},
		"list":        {"a.json", ` [ {"messages":[{"role":"user","content":"hi"}]}]`, nil, ".jsonl"},
		"other json":  {"a.json", `{"name":"one"}`, []string{`{"name":"one"}`}, ""},
		"empty":       {"a.txt", " \n", nil, "empty text"},
		"no lines":    {"a.jsonl", "\n", nil, "no lines"},
		"not json":    {"a.jsonl", `{"text":"a"}` + "\n{", nil, "line 2"},
		"no field":    {"a.jsonl", `{"body":"a"}`, nil, "no field"},
		"wrong type":  {"a.jsonl", `{"text":1}`, nil, "line 1"},
		"nul":         {"a.txt", "a\x00b", nil, "NUL"},
		"nul in json": {"a.jsonl", `{"text":"a\u0000b"}`, nil, "NUL"},
		"not utf-8":   {"a.txt", "a\xffb", nil, "UTF-8"},
		"json utf-8":  {"a.jsonl", "{\"text\":\"a\xff\"}", nil, "UTF-8"},
		"long line":   {"a.jsonl", `{"text":"` + strings.Repeat("a", MaxLineBytes) + `"}`, nil, "longer"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), test.file)
			if err := os.WriteFile(path, []byte(test.content), 0o600); err != nil {
				t.Fatal(err)
			}
			source, err := TextSource(path)
			if err != nil {
				t.Fatal(err)
			}
			text, err := LoadText(path, source)
			if test.fault != "" {
				if err == nil || !strings.Contains(err.Error(), test.fault) || !strings.Contains(err.Error(), path) {
					t.Errorf("LoadText error = %v, want one that names the file and %q", err, test.fault)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, text.Documents); diff != "" {
				t.Errorf("documents (-want +got):\n%s", diff)
			}
			if text.Source != source || len(source) < len("sha256:")+64 {
				t.Errorf("source = %q, want %q", text.Source, source)
			}
			if err := os.WriteFile(path, append([]byte(test.content), ' '), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := LoadText(path, source); !errors.Is(err, ErrTextChanged) {
				t.Errorf("a file that was changed gives %v, want ErrTextChanged", err)
			}
		})
	}
	if _, err := LoadText(t.TempDir(), ""); err == nil {
		t.Error("LoadText read a folder")
	}
}

// The name decides how a file is read, so it is part of what the text is.
func TestTextSourceDependsOnTheName(t *testing.T) {
	folder, sources := t.TempDir(), map[string]bool{}
	for _, name := range []string{"a.txt", "b.txt", "a.jsonl", "b.NDJSON"} {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(`{"text":"one"}`), 0o600); err != nil {
			t.Fatal(err)
		}
		source, err := TextSource(path)
		if err != nil {
			t.Fatal(err)
		}
		sources[source] = true
	}
	if len(sources) != 2 {
		t.Errorf("sources are %v, want one of plain text and one of JSONL", sources)
	}
}

func FuzzParseLine(f *testing.F) {
	f.Add([]byte(`{"text":"a"}`))
	f.Add([]byte(`{"messages":[{"content":"b"}]}`))
	f.Add([]byte(`[`))
	f.Fuzz(func(t *testing.T, line []byte) {
		document, _, err := parseLine(line)
		if err == nil && checkText(document) != nil {
			t.Fatalf("parseLine let %q pass", document)
		}
	})
}

func TestSequences(t *testing.T) {
	tokens := make([]int32, 100)
	for i := range tokens {
		tokens[i] = int32(i)
	}
	tests := []struct {
		count, length, budget int
		starts                []int32
		size                  int
	}{
		{100, 20, 1000, []int32{0, 20, 40, 60, 80}, 20},
		{99, 20, 1000, []int32{0, 20, 40, 60}, 20},
		{100, 20, 40, []int32{0, 80}, 20}, // spread over the text
		{100, 20, 60, []int32{0, 40, 80}, 20},
		{10, 20, 1000, []int32{0}, 10},
		{100, 20, 5, []int32{0}, 5},
		{1, 20, 1000, nil, 0},
		{0, 20, 1000, nil, 0},
	}
	for _, test := range tests {
		sequences := Sequences(tokens[:test.count], test.length, test.budget)
		var starts []int32
		for _, sequence := range sequences {
			starts = append(starts, sequence[0])
			if len(sequence) != test.size {
				t.Errorf("%+v: a sequence of %d tokens", test, len(sequence))
			}
		}
		if !cmp.Equal(starts, test.starts) {
			t.Errorf("%+v: starts %v", test, starts)
		}
	}
}

type fakeGenerator struct {
	n, length int
	out       [][]int32
	err       error
}

func (g *fakeGenerator) Generate(_ context.Context, n, length int, _ uint64) ([][]int32, error) {
	g.n, g.length = n, length
	return g.out, g.err
}

func TestSelfCalibrate(t *testing.T) {
	generator := &fakeGenerator{out: [][]int32{{1, 2, 3, 4, 5}, {1}, {6, 7}}}
	got, err := SelfCalibrate(t.Context(), generator, 10, 4, 1)
	if err != nil {
		t.Fatal(err)
	}
	if generator.n != 3 || generator.length != 4 {
		t.Errorf("Generate(%d, %d), want 3 sequences of 4", generator.n, generator.length)
	}
	if diff := cmp.Diff([][]int32{{1, 2, 3, 4}, {6, 7}}, got); diff != "" {
		t.Errorf("sequences (-want +got):\n%s", diff)
	}
	failure := errors.New("engine gone")
	for name, test := range map[string]struct {
		generator      *fakeGenerator
		tokens, length int
		want           error
	}{
		"engine":  {&fakeGenerator{err: failure}, 10, 4, failure},
		"nothing": {&fakeGenerator{}, 10, 4, nil},
		"short":   {&fakeGenerator{}, 10, 1, nil},
		"long":    {&fakeGenerator{}, 10, MaxSequence + 1, nil},
	} {
		if _, err := SelfCalibrate(t.Context(), test.generator, test.tokens, test.length, 1); err == nil || test.want != nil && !errors.Is(err, test.want) {
			t.Errorf("%s: error = %v", name, err)
		}
	}
}
