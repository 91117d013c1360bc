package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCheckOutput(t *testing.T) {
	dir := t.TempDir()
	if err := checkOutputFolder(filepath.Join(dir, "new.gguf")); err != nil {
		t.Errorf("a new file gives %v", err)
	}
	link := filepath.Join(dir, "link.gguf") // as /dev/stdout is one, to a file where output is redirected
	if err := os.WriteFile(filepath.Join(dir, "log"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("log", link); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"-":                                  "standard output",
		link:                                 "is a link",
		"/dev/null":                          "not a regular file",
		dir:                                  "not a regular file",
		filepath.Join(dir, "none", "f.gguf"): "no folder",
		"/dev/null/f.gguf":                   "output",
	} {
		if err := checkOutputFolder(path); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("checkOutputFolder(%q) = %v, want %q", path, err, want)
		}
	}
}
