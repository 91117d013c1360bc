package calibration

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReadText(t *testing.T) {
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
		"long line":   {"a.jsonl", `{"text":"` + strings.Repeat("a", maxLineBytes) + `"}`, nil, "longer"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), test.file)
			if err := os.WriteFile(path, []byte(test.content), 0o600); err != nil {
				t.Fatal(err)
			}
			source, err := fileIdentity(path)
			if err != nil {
				t.Fatal(err)
			}
			text, err := readText(path, source)
			if test.fault != "" {
				if err == nil || !strings.Contains(err.Error(), test.fault) || !strings.Contains(err.Error(), path) {
					t.Errorf("readText error = %v, want one that names the file and %q", err, test.fault)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, text.documents); diff != "" {
				t.Errorf("documents (-want +got):\n%s", diff)
			}
			if text.identity != source || len(source) < len("sha256:")+64 {
				t.Errorf("source = %q, want %q", text.identity, source)
			}
			if err := os.WriteFile(path, append([]byte(test.content), ' '), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := readText(path, source); !errors.Is(err, ErrTextChanged) {
				t.Errorf("readText of a changed file = %v, want ErrTextChanged", err)
			}
		})
	}
	if _, err := readText(t.TempDir(), ""); err == nil {
		t.Error("readText of a folder gives no error")
	}
}

// The name of a file decides its format, so the identity depends on it.
func TestFileIdentityDependsOnTheName(t *testing.T) {
	folder, sources := t.TempDir(), map[string]bool{}
	for _, name := range []string{"a.txt", "b.txt", "a.jsonl", "b.NDJSON"} {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(`{"text":"one"}`), 0o600); err != nil {
			t.Fatal(err)
		}
		source, err := fileIdentity(path)
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
			t.Fatalf("parseLine accepts %q", document)
		}
	})
}
