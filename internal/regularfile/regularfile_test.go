package regularfile

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestRead(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	if err := os.WriteFile(path, []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := Read(path, 7); err != nil || string(got) != "content" {
		t.Errorf("Read = %q, %v, want content", got, err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(link, 7); err != nil {
		t.Errorf("Read of a link to a regular file = %v", err)
	}
}

func TestRefused(t *testing.T) {
	dir := t.TempDir()
	path, pipe := filepath.Join(dir, "file"), filepath.Join(dir, "pipe")
	if err := os.WriteFile(path, []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		path string
		max  int64
		want string
	}{
		"too large": {path, 6, "has 7 bytes; the limit is 6"},
		"pipe":      {pipe, 6, "not a regular file"}, // must not wait for a writer
		"folder":    {dir, 6, "not a regular file"},
		"device":    {"/dev/zero", 6, "not a regular file"},
	} {
		if _, err := Read(c.path, c.max); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Read of %s = %v, want %q", name, err, c.want)
		}
	}
	if _, err := Read(filepath.Join(dir, "missing"), 6); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Read of nothing = %v, want os.ErrNotExist", err)
	}
}
