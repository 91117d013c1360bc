package disk

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"prunellm/internal/store"
)

func openFilesTest(t *testing.T, dir string, o Options) *Files {
	t.Helper()
	o.Log = slog.New(slog.DiscardHandler)
	f, err := OpenFiles(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func digestOf(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// writing returns a write function that writes content to the temporary file.
func writing(content string) func(string) error {
	return func(path string) error { return os.WriteFile(path, []byte(content), 0o644) }
}

func create(t *testing.T, f *Files, digest, content string) string {
	t.Helper()
	path, err := f.Create(t.Context(), digest, writing(content))
	if err != nil {
		t.Fatalf("Create = %v", err)
	}
	return path
}

func TestFilesCreate(t *testing.T) {
	dir := t.TempDir()
	f := openFilesTest(t, dir, Options{})
	digest := digestOf("a")
	if path, ok, err := f.Path(t.Context(), digest); ok || err != nil {
		t.Fatalf("Path of a missing file = %q, %v, %v", path, ok, err)
	}
	path := create(t, f, digest, "model")
	data, err := os.ReadFile(path)
	if err != nil || string(data) != "model" || !filepath.IsAbs(path) || filepath.Ext(path) != ".gguf" {
		t.Fatalf("%s holds %q, %v", path, data, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != fileMode {
		t.Errorf("mode %v, %v, want %v", info.Mode(), err, fs.FileMode(fileMode))
	}
	for name, again := range map[string]*Files{"same": f, "new process": openFilesTest(t, dir, Options{})} {
		got, err := again.Create(t.Context(), digest, func(string) error { t.Errorf("%s: written again", name); return nil })
		if err != nil || got != path {
			t.Errorf("%s: Create = %q, %v, want %q", name, got, err, path)
		}
		if got, ok, err := again.Path(t.Context(), digest); err != nil || !ok || got != path {
			t.Errorf("%s: Path = %q, %v, %v, want %q", name, got, ok, err, path)
		}
	}
	for range 2 {
		if err := f.Remove(t.Context(), digest); err != nil {
			t.Errorf("Remove = %v", err)
		}
	}
	if _, ok, err := f.Path(t.Context(), digest); ok || err != nil {
		t.Errorf("Path after Remove = %v, %v", ok, err)
	}
}

// TestFilesReplaced uses a write function that renames its own file to the temporary path, as atomic writers do.
func TestFilesReplaced(t *testing.T) {
	f := openFilesTest(t, t.TempDir(), Options{})
	path, err := f.Create(t.Context(), digestOf("a"), func(temp string) error {
		return errors.Join(os.WriteFile(temp+"2", []byte("model"), 0o600), os.Rename(temp+"2", temp))
	})
	if err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != "model" {
		t.Fatalf("%q, %v", data, err)
	}
}

// TestFilesFailedWrite checks that no file remains after a failed write.
func TestFilesFailedWrite(t *testing.T) {
	broken := errors.New("no room on disk")
	for name, write := range map[string]func(string) error{
		"error":   func(path string) error { return errors.Join(os.WriteFile(path, []byte("half"), 0o600), broken) },
		"removed": func(path string) error { return os.Remove(path) },
		"link":    func(path string) error { return errors.Join(os.Remove(path), os.Symlink("/etc/passwd", path)) },
		"folder":  func(path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o700)) },
	} {
		t.Run(name, func(t *testing.T) {
			f := openFilesTest(t, t.TempDir(), Options{})
			digest := digestOf(name)
			_, err := f.Create(t.Context(), digest, write)
			if err == nil || name == "error" && !errors.Is(err, broken) {
				t.Fatalf("Create = %v", err)
			}
			entries, err := os.ReadDir(f.dir)
			if err != nil || len(entries) != 1 || entries[0].Name() != digest+".lock" {
				t.Errorf("files remain: %v, %v", entries, err)
			}
			create(t, f, digest, "model")
		})
	}
}

// TestFilesDamage damages a file or its sidecar. The cache must delete and count it, then make it again.
func TestFilesDamage(t *testing.T) {
	digest := digestOf("a")
	cases := map[string]func(model, side string) error{
		"altered":   func(model, _ string) error { return os.WriteFile(model, []byte("modem"), 0o600) },
		"truncated": func(model, _ string) error { return os.Truncate(model, 3) },
		"missing":   func(model, _ string) error { return os.Remove(model) },
		"link": func(model, _ string) error {
			return errors.Join(os.Rename(model, model+"x"), os.Symlink(model+"x", model))
		},
		"folder":          func(model, _ string) error { return errors.Join(os.Remove(model), os.Mkdir(model, 0o700)) },
		"empty sidecar":   func(_, side string) error { return os.Truncate(side, 0) },
		"large sidecar":   func(_, side string) error { return os.Truncate(side, 1<<30) },
		"other version":   edit(`"version":1`, `"version":2`),
		"other digest":    edit(digest, digestOf("b")),
		"negative size":   edit(`"size":5`, `"size":-5`),
		"other size":      edit(`"size":5`, `"size":6`),
		"no sha256":       edit(`"sha256":"`, `"sha256":"x`),
		"sidecar is link": func(_, side string) error { return errors.Join(os.Remove(side), os.Symlink("/dev/zero", side)) },
	}
	for name, damage := range cases {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := create(t, openFilesTest(t, dir, Options{}), digest, "model")
			if err := damage(path, strings.TrimSuffix(path, modelExt)+sidecarExt); err != nil {
				t.Fatal(err)
			}
			corrupt := 0
			f := openFilesTest(t, dir, Options{Hooks: store.Hooks{OnCorrupt: func(string, store.Kind) { corrupt++ }}})
			for range 2 {
				if path, ok, err := f.Path(t.Context(), digest); ok || err != nil {
					t.Fatalf("Path = %q, %v, %v, want none", path, ok, err)
				}
			}
			if corrupt != 1 {
				t.Errorf("counted %d times, want 1", corrupt)
			}
			create(t, f, digest, "model")
		})
	}
}

// edit replaces text in the sidecar.
func edit(old, new string) func(model, side string) error {
	return func(_, side string) error {
		data, err := os.ReadFile(side)
		if err != nil {
			return err
		}
		if !bytes.Contains(data, []byte(old)) {
			return errors.New("nothing to replace")
		}
		return os.WriteFile(side, bytes.Replace(data, []byte(old), []byte(new), 1), 0o600)
	}
}

// TestFilesChangedLater checks that a process that has verified a file notices when the file changes later.
func TestFilesChangedLater(t *testing.T) {
	f := openFilesTest(t, t.TempDir(), Options{})
	digest := digestOf("a")
	path := create(t, f, digest, "model")
	later := time.Now().Add(time.Second)
	if err := errors.Join(os.WriteFile(path, []byte("modem"), 0o600), os.Chtimes(path, later, later)); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := f.Path(t.Context(), digest); ok || err != nil {
		t.Errorf("Path of a changed file = %v, %v", ok, err)
	}
}

// TestFilesOnce lets many goroutines, which stand for processes, request the same file. Only one may write it.
func TestFilesOnce(t *testing.T) {
	dir := t.TempDir()
	digest := digestOf("a")
	var written atomic.Int32
	var wait sync.WaitGroup
	for range 8 {
		f := openFilesTest(t, dir, Options{})
		wait.Go(func() {
			path, err := f.Create(t.Context(), digest, func(temp string) error {
				written.Add(1)
				return writing("model")(temp)
			})
			if data, readErr := os.ReadFile(path); err != nil || readErr != nil || string(data) != "model" {
				t.Errorf("Create = %q, %v; %q, %v", path, err, data, readErr)
			}
		})
	}
	wait.Wait()
	if written.Load() != 1 {
		t.Errorf("written %d times, want 1", written.Load())
	}
}

// TestFilesCancelled checks that Create stops waiting for a lock when its context ends.
func TestFilesCancelled(t *testing.T) {
	f := openFilesTest(t, t.TempDir(), Options{})
	digest := digestOf("a")
	create(t, f, digestOf("b"), "other")
	_, err := f.Create(t.Context(), digest, func(temp string) error {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		if _, err := f.Create(ctx, digest, writing("x")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Create while it is locked = %v, want the deadline", err)
		}
		return writing("model")(temp)
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := f.Path(ctx, digest); !errors.Is(err, context.Canceled) {
		t.Errorf("Path = %v", err)
	}
	if _, err := f.Create(ctx, digest, writing("x")); !errors.Is(err, context.Canceled) {
		t.Errorf("Create = %v", err)
	}
	if err := f.Remove(ctx, digest); !errors.Is(err, context.Canceled) {
		t.Errorf("Remove = %v", err)
	}
}

func TestFilesBadDigest(t *testing.T) {
	f := openFilesTest(t, t.TempDir(), Options{})
	for _, digest := range []string{"", "abc", "../" + digestOf("a"), strings.ToUpper(digestOf("a")), digestOf("a") + "/x", strings.Repeat("a", 200)} {
		_, _, pathErr := f.Path(t.Context(), digest)
		_, createErr := f.Create(t.Context(), digest, writing("x"))
		if removeErr := f.Remove(t.Context(), digest); pathErr == nil || createErr == nil || removeErr == nil {
			t.Errorf("digest %q is accepted: %v, %v, %v", digest, pathErr, createErr, removeErr)
		}
	}
}

// TestFilesEviction checks that the least recently used models are evicted.
func TestFilesEviction(t *testing.T) {
	f := openFilesTest(t, t.TempDir(), Options{LimitBytes: 25})
	a, b, c := digestOf("a"), digestOf("b"), digestOf("c")
	for i, digest := range []string{a, b} {
		create(t, f, digest, strings.Repeat("x", 10))
		used := time.Now().Add(time.Duration(i-10) * time.Minute)
		if err := os.Chtimes(filepath.Join(f.dir, digest+sidecarExt), used, used); err != nil {
			t.Fatal(err)
		}
	}
	if _, ok, err := f.Path(t.Context(), a); !ok || err != nil {
		t.Fatal(ok, err)
	}
	create(t, f, c, strings.Repeat("x", 10))
	for digest, want := range map[string]bool{a: true, b: false, c: true} {
		if _, ok, err := f.Path(t.Context(), digest); err != nil || ok != want {
			t.Errorf("Path(%.4s) = %v, %v, want %v", digest, ok, err, want)
		}
	}
}

func FuzzSidecar(f *testing.F) {
	digest := digestOf("a")
	f.Add([]byte(`{"version":1,"digest":"` + digest + `","size":5,"sha256":"` + digest + `"}`))
	f.Add([]byte(`{"version":1,"size":1e99}`))
	f.Add([]byte(`[[[[`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := decodeSidecar(data, digest)
		if err == nil && (s.Size < 0 || len(s.SHA256) != 64 || s.Digest != digest || s.Version != store.FormatVersion) {
			t.Errorf("decodeSidecar accepts %+v", s)
		}
	})
}

// BenchmarkVerify computes the checksum of a file as large as a small model. A server does that once when it starts.
func BenchmarkVerify(b *testing.B) {
	f, err := OpenFiles(b.TempDir(), Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { f.Close() })
	const size = 100 << 20
	digest := digestOf("a")
	if _, err := f.Create(b.Context(), digest, func(path string) error { return os.Truncate(path, size) }); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		f.mu.Lock()
		clear(f.verified)
		f.mu.Unlock()
		if _, ok, err := f.Path(b.Context(), digest); err != nil || !ok {
			b.Fatal(ok, err)
		}
	}
}
