package calibration

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Every named source can be found and opened and has its own identity.
func TestNamedSources(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range rows() {
		ref, err := Find(r.name)
		if err != nil || ref.Identity != r.identity || ref.File != "" {
			t.Errorf("Find(%q) = %+v, %v, want identity %q and no file", r.name, ref, err, r.identity)
		}
		if source, err := ref.Open(Dense{}); err != nil || source == nil {
			t.Errorf("Open of %q = %v, %v", r.name, source, err)
		}
		if seen[r.name] || seen[r.identity] {
			t.Errorf("source %q or its identity %q is in the table twice", r.name, r.identity)
		}
		seen[r.name], seen[r.identity] = true, true
	}
	if _, err := (Reference{Identity: "other"}).Open(Dense{}); err == nil || !strings.Contains(err.Error(), "other") {
		t.Errorf("Open of an unknown source gives %v, want an error that names it", err)
	}
	if _, err := Find(filepath.Join(t.TempDir(), "missing.txt")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Find of a missing file gives %v, want os.ErrNotExist", err)
	}
}

func TestResolve(t *testing.T) {
	for value, want := range map[string][2]string{AutoName: {Auto, SelfName}, SelfName: {SelfName, SelfName}, "a.txt": {"a.txt", "a.txt"}} {
		if got := [2]string{Resolve(value, true), Resolve(value, false)}; got != want {
			t.Errorf("Resolve(%q) = %v with and without text, want %v", value, got, want)
		}
	}
	if _, err := Find(Auto); err != nil {
		t.Errorf("Find(%q) = %v", Auto, err)
	}
}

// A file's tokens are those of all its documents without the excluded sequences. Too few tokens give an error.
func TestFileSource(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.jsonl")
	if err := os.WriteFile(path, []byte(`{"text":"abcd"}`+"\n"+`{"messages":[{"role":"user","content":"efgh"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	ref, err := Find(path)
	if err != nil || ref.File != path {
		t.Fatalf("Find = %+v, %v", ref, err)
	}
	source, reported := fileSource(Dense{}, ref).(textSource), [][2]int{}
	got, err := source.cut(t.Context(), &letters{}, Want{Tokens: 100, Length: 2, Exclude: [][]int32{{'b', 'c'}}}, func(done, total int) {
		reported = append(reported, [2]int{done, total})
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([][]int32{{'a', 'd'}, {'e', 'f'}, {'g', 'h'}}, got); diff != "" {
		t.Errorf("sequences (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([][2]int{{50, 100}, {100, 100}}, reported); diff != "" {
		t.Errorf("progress (-want +got):\n%s", diff)
	}
	if _, err := source.cut(t.Context(), &letters{}, Want{Tokens: 100, Length: 2, AtLeast: 9}, nil); !errors.Is(err, ErrTooShort) {
		t.Errorf("Sequences with 8 tokens instead of 9 = %v, want ErrTooShort", err)
	}
}
