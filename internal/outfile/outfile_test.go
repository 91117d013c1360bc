package outfile

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCheckFolder(t *testing.T) {
	dir := t.TempDir()
	if err := CheckFolder(filepath.Join(dir, "new.gguf")); err != nil {
		t.Errorf("a new file gives %v", err)
	}
	link := filepath.Join(dir, "link.gguf") // like /dev/stdout, which is a link to a file if output is redirected
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
		filepath.Join(dir, "none", "f.gguf"): "does not exist",
		"/dev/null/f.gguf":                   "output",
	} {
		if err := CheckFolder(path); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("CheckFolder(%q) = %v, want %q", path, err, want)
		}
	}
}

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	path, other := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	broken := errors.New("broken")
	if err := Write(path, func(io.Writer) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("Write = %v, want the error of the writer", err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("a failed write leaves %v, %v", entries, err)
	}
	if err := Write(path, func(w io.Writer) error { _, err := io.WriteString(w, "text"); return err }); err != nil {
		t.Fatal(err)
	}
	if err := Copy(path, other); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(other); err != nil || string(got) != "text" {
		t.Errorf("the copy holds %q, %v", got, err)
	}
}
