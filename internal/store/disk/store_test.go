package disk

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"prunellm/internal/store"
	"prunellm/internal/store/storetest"
)

func openTest(t *testing.T, dir string, o Options) *Store {
	t.Helper()
	o.Log = slog.New(slog.DiscardHandler)
	s, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestSuite(t *testing.T) {
	storetest.Suite(t, func(t *testing.T, hooks store.Hooks) storetest.Backend {
		s := openTest(t, t.TempDir(), Options{Hooks: hooks})
		return storetest.Backend{Store: s, Rewrite: func(t *testing.T, key store.Key, change func([]byte) []byte) {
			t.Helper()
			path := filepath.Join(s.dir, entryName(key))
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, change(data), fileMode); err != nil {
				t.Fatal(err)
			}
		}}
	})
}

func TestLeaseSuite(t *testing.T) {
	storetest.LeaseSuite(t, func(t *testing.T, n int) []storetest.Replica {
		dir := t.TempDir()
		replicas := make([]storetest.Replica, n)
		for i := range replicas {
			s := openTest(t, dir, Options{})
			replicas[i] = storetest.Replica{Store: s, Leaser: s}
		}
		return replicas
	})
}

// TestPermissions checks that no other user may read the cache, no matter what the umask is.
func TestPermissions(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cache") // created with a usual umask, because Open rejects a folder that all users may write
	old := syscall.Umask(0)
	defer syscall.Umask(old)
	s := openTest(t, dir, Options{})
	key := storetest.Key(store.KindPlan, "0.2")
	if err := s.Put(t.Context(), key, []byte("x")); err != nil {
		t.Fatal(err)
	}
	lease := storetest.Acquire(t, s, key)
	defer lease.Close()
	if err := lease.SetProgress(t.Context(), []byte("1")); err != nil {
		t.Fatal(err)
	}
	files := 0
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		want := fs.FileMode(fileMode)
		if entry.IsDir() {
			want = dirMode
		} else {
			files++
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s has mode %v, want %v", path, info.Mode().Perm(), want)
		}
		return nil
	})
	if err != nil || files != 3 {
		t.Fatalf("walk: %v, %d files, want value, lock and progress", err, files)
	}
}

// TestOddFiles puts something that is not a regular file in place of an entry or one of its directories.
func TestOddFiles(t *testing.T) {
	key := storetest.Key(store.KindPlan, "0.2")
	secret := filepath.Join(t.TempDir(), "secret")
	cases := map[string]func(path string) error{
		"link outside": func(path string) error { return os.Symlink(secret, path) },
		"link inside":  func(path string) error { return os.Symlink("other", path) },
		"dangling":     func(path string) error { return os.Symlink("nothing", path) },
		"directory":    func(path string) error { return os.Mkdir(path, 0o700) },
		"pipe":         func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"full directory": func(path string) error {
			return errors.Join(os.Mkdir(path, 0o700), os.WriteFile(filepath.Join(path, "x"), nil, 0o600))
		},
		"recipe is a file": func(path string) error {
			dir := filepath.Dir(path)
			return errors.Join(os.RemoveAll(dir), os.WriteFile(dir, nil, 0o600))
		},
		"model is a link": func(path string) error {
			model := filepath.Dir(filepath.Dir(filepath.Dir(path)))
			return errors.Join(os.Rename(model, model+"x"), os.Symlink(filepath.Base(model)+"x", model))
		},
	}
	for name, plant := range cases {
		t.Run(name, func(t *testing.T) {
			corrupt := 0
			s := openTest(t, t.TempDir(), Options{Hooks: store.Hooks{OnCorrupt: func(string, store.Kind) { corrupt++ }}})
			other := storetest.Key(store.KindPlan, "other")
			for _, k := range []store.Key{key, other} {
				if err := s.Put(t.Context(), k, []byte("value")); err != nil {
					t.Fatal(err)
				}
			}
			path := filepath.Join(s.dir, entryName(key))
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(secret, data, 0o600); err != nil { // the target is valid, so following the link would succeed
				t.Fatal(err)
			}
			if err := errors.Join(os.Remove(path), plant(path)); err != nil {
				t.Fatal(err)
			}
			if value, err := s.Get(t.Context(), key); !errors.Is(err, store.ErrCorrupt) {
				t.Fatalf("Get = %q, %v, want ErrCorrupt", value, err)
			}
			if corrupt != 1 {
				t.Fatalf("counted %d times, want 1", corrupt)
			}
			if _, err := os.Stat(secret); err != nil {
				t.Fatalf("the link's target was changed: %v", err)
			}
			if err := s.Put(t.Context(), key, []byte("new")); err != nil {
				t.Fatalf("Put after Get = %v", err)
			}
			if value, err := s.Get(t.Context(), key); err != nil || string(value) != "new" {
				t.Fatalf("Get after Put = %q, %v", value, err)
			}
		})
	}
}

// TestOpenRefuses checks that the error names the path if the cache directory cannot be used.
func TestOpenRefuses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	linked := t.TempDir()
	if err := os.Symlink(t.TempDir(), filepath.Join(linked, "v1")); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"", file, filepath.Join(file, "below"), linked} {
		if s, err := Open(dir, Options{}); err == nil {
			s.Close()
			t.Errorf("Open(%q) succeeds", dir)
		} else if !strings.Contains(err.Error(), dir) {
			t.Errorf("Open(%q) = %v, want an error that names the path", dir, err)
		}
	}
}

// TestUnreadable checks an entry that the system does not let the process read. The entry may be fine, so Get must
// return the system's error and keep it.
func TestUnreadable(t *testing.T) {
	corrupt := 0
	s := openTest(t, t.TempDir(), Options{Hooks: store.Hooks{OnCorrupt: func(string, store.Kind) { corrupt++ }}})
	key := storetest.Key(store.KindPlan, "0.2")
	if err := s.Put(t.Context(), key, []byte("x")); err != nil {
		t.Fatal(err)
	}
	s.Close()
	if _, err := s.Get(t.Context(), key); err == nil || errors.Is(err, store.ErrNotFound) || corrupt != 0 {
		t.Fatalf("Get = %v, counted as corrupt %d times, want the system's error", err, corrupt)
	}
	if _, err := os.Stat(filepath.Join(s.dir, entryName(key))); err != nil {
		t.Fatalf("the entry was deleted: %v", err)
	}
}

// TestEviction checks that the least recently used entries are evicted, but never the one just written.
func TestEviction(t *testing.T) {
	s := openTest(t, t.TempDir(), Options{LimitBytes: 3500})
	keys := []store.Key{storetest.Key(store.KindPlan, "a"), storetest.Key(store.KindPlan, "b"), storetest.Key(store.KindPlan, "c")}
	for i, key := range keys {
		if err := s.Put(t.Context(), key, make([]byte, 700)); err != nil { // plus a header of about 300
			t.Fatal(err)
		}
		used := time.Now().Add(time.Duration(i-10) * time.Minute)
		if err := os.Chtimes(filepath.Join(s.dir, entryName(key)), used, used); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Get(t.Context(), keys[0]); err != nil { // now the most recently used
		t.Fatal(err)
	}
	added := storetest.Key(store.KindPlan, "d")
	if err := s.Put(t.Context(), added, make([]byte, 700)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []struct {
		key   store.Key
		there bool
	}{{keys[0], true}, {keys[1], false}, {keys[2], true}, {added, true}} {
		if _, err := s.Get(t.Context(), want.key); (err == nil) != want.there {
			t.Errorf("Get(%s) = %v, want it found: %v", want.key, err, want.there)
		}
	}
	if err := s.Put(t.Context(), added, make([]byte, 9000)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), added); err != nil {
		t.Errorf("an entry larger than the limit is evicted immediately: %v", err)
	}
}

// TestStaleTemps checks that Open removes old temporary files and keeps young ones, which may be in use.
func TestStaleTemps(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, dir, Options{})
	for name, age := range map[string]time.Duration{".young1": 0, ".old1": 2 * time.Hour} {
		path := filepath.Join(s.dir, name)
		used := time.Now().Add(-age)
		if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Chtimes(path, used, used)); err != nil {
			t.Fatal(err)
		}
	}
	openTest(t, dir, Options{})
	if _, err := os.Stat(filepath.Join(s.dir, ".young1")); err != nil {
		t.Errorf("young temporary file: %v", err)
	}
	if _, err := os.Stat(filepath.Join(s.dir, ".old1")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("old temporary file: %v, want it removed", err)
	}
}
