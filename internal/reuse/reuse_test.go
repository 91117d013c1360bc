package reuse

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"prunellm/internal/regularfile"
)

func newFile(t testing.TB) File {
	dir := t.TempDir()
	return File{Path: filepath.Join(dir, "result"), Folder: dir, Identity: "model, text"}
}

func give(data []byte) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	}
}

func TestSaveAndLoad(t *testing.T) {
	f, result := newFile(t), []byte("a large result")
	size := int64(len(result))
	if _, err := f.Load(size); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Load of nothing = %v", err)
	}
	if err := f.Save(size, give(result)); err != nil {
		t.Fatal(err)
	}
	c, err := f.Load(size)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	got := make([]byte, size)
	if _, err := c.ReadAt(got, 0); err != nil || !bytes.Equal(got, result) {
		t.Errorf("result = %q, %v", got, err)
	}
	part := make([]byte, 5)
	if n, err := c.ReadAt(part, 2); n != 5 || err != nil || string(part) != "large" {
		t.Errorf("ReadAt = %q, %d, %v", part, n, err)
	}
	if _, err := c.ReadAt(part, size-4); !errors.Is(err, io.EOF) {
		t.Errorf("ReadAt beyond the result = %v", err)
	}
	if found, _ := filepath.Glob(f.Path + "-*"); len(found) > 0 {
		t.Errorf("left over: %v", found)
	}
	other := f
	other.Identity = "another model"
	if _, err := other.Load(size); !errors.Is(err, ErrOther) {
		t.Errorf("Load of another's = %v", err)
	}
}

func TestDamageIsDetected(t *testing.T) {
	f, result := newFile(t), bytes.Repeat([]byte("result"), 100)
	size := int64(len(result))
	if err := f.Save(size, give(result)); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(f.Path)
	if err != nil {
		t.Fatal(err)
	}
	for at := range whole {
		damaged := slices.Clone(whole)
		damaged[at] ^= 4
		if err := os.WriteFile(f.Path, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		if c, err := f.Load(size); err == nil {
			c.Close()
			t.Errorf("a change of byte %d of %d is not detected", at, len(whole))
		}
	}
	for what, content := range map[string][]byte{"longer": append(slices.Clone(whole), 0), "cut": whole[:len(whole)-1], "head": whole[:60], "empty": nil} {
		if err := os.WriteFile(f.Path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if c, err := f.Load(size); err == nil {
			c.Close()
			t.Errorf("%s: Load accepts the file", what)
		}
	}
}

func TestFailedSaveLeavesNoFile(t *testing.T) {
	f := newFile(t)
	fault := errors.New("fault")
	for what, c := range map[string]struct {
		size  int64
		write func(io.Writer) error
		want  string
	}{
		"failed":   {10, func(w io.Writer) error { _, _ = w.Write([]byte("half")); return fault }, "fault"},
		"too few":  {10, give([]byte("half")), "bytes were written"},
		"too many": {3, give([]byte("half")), "bytes were written"},
	} {
		if err := f.Save(c.size, c.write); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", what, err, c.want)
		}
		if found, _ := filepath.Glob(f.Path + "*"); len(found) > 0 {
			t.Errorf("%s: left over: %v", what, found)
		}
	}
	f.Folder = filepath.Join(f.Folder, "missing")
	if err := f.Save(4, give([]byte("half"))); err == nil {
		t.Error("Save without a folder reports no error")
	}
}

// Save does not use the last space of a disk.
func TestSaveLeavesFreeSpace(t *testing.T) {
	f := newFile(t)
	if err := f.checkRoom(1 << 10); err != nil {
		t.Error(err)
	}
	if _, known := regularfile.FreeSpace(f.Folder); !known {
		t.Skip("this system does not report free space")
	}
	if err := f.Save(1<<60, give(nil)); err == nil || !strings.Contains(err.Error(), "are free") {
		t.Errorf("Save of 10^18 bytes: %v, want an error about free space", err)
	}
}

func FuzzLoad(f *testing.F) {
	file := newFile(f)
	const size = 40
	f.Add([]byte(nil))
	f.Add(file.head())
	f.Add(slices.Concat(file.head(), make([]byte, size+4)))
	if err := file.Save(size, give(make([]byte, size))); err != nil {
		f.Fatal(err)
	}
	whole, err := os.ReadFile(file.Path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(file.Path, data, 0o600); err != nil {
			t.Skip()
		}
		c, err := file.Load(size)
		if err != nil {
			return
		}
		defer c.Close()
		got := make([]byte, size)
		if _, err := c.ReadAt(got, 0); err != nil || !bytes.HasPrefix(data, file.head()) || !bytes.Contains(data, got) {
			t.Errorf("a file of another result is accepted: %v", err)
		}
	})
}
