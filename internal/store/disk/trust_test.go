package disk

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"prunellm/internal/store"
	"prunellm/internal/store/storetest"
	"prunellm/internal/trust"
)

// TestCacheOfAnotherUser opens a cache that other users can write. Open must reject it, because the process computes
// with its values and loads its variants.
func TestCacheOfAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can make files of other users")
	}
	for name, spoil := range map[string]func(dir string) error{
		"folder":          func(dir string) error { return os.Chown(dir, 65534, 65534) },
		"version":         func(dir string) error { return os.Chown(filepath.Join(dir, "v1"), 65534, 65534) },
		"writable folder": func(dir string) error { return os.Chmod(dir, 0o777) },
		"value": func(dir string) error {
			return filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
				if err == nil && entry.Type().IsRegular() {
					err = os.Chown(path, 65534, 65534)
				}
				return err
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "cache")
			s := openTest(t, dir, Options{})
			if err := errors.Join(s.Put(t.Context(), storetest.Key(store.KindPlan, "0.2"), []byte("x")), spoil(dir)); err != nil {
				t.Fatal(err)
			}
			var fault *trust.Error
			if _, err := Open(dir, Options{}); !errors.As(err, &fault) {
				t.Errorf("Open = %v, want an error that names the path of another user", err)
			}
		})
	}
}
