package jobs

import (
	"os"
	"path/filepath"
	"testing"
)

// NewExchange removes the folder of a process that has ended, but not a folder in use.
func TestExchangeFolders(t *testing.T) {
	scratch := filepath.Join(t.TempDir(), "jobs")
	first, release, err := NewExchange(scratch)
	if err != nil {
		t.Fatal(err)
	}
	left := filepath.Join(scratch, "job-1")
	if err := os.MkdirAll(filepath.Join(left, "values"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(left+lockSuffix, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	second, releaseSecond, err := NewExchange(scratch)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(left); !os.IsNotExist(err) {
		t.Errorf("the abandoned folder still exists: %v", err)
	}
	for _, folder := range []string{first, second} {
		if info, err := os.Stat(folder); err != nil || !info.IsDir() {
			t.Errorf("folder %q in use: %v", folder, err)
		}
	}
	release()
	releaseSecond()
	if rest, err := os.ReadDir(scratch); err != nil || len(rest) != 0 {
		t.Errorf("%v, %v remain after release, want nothing", rest, err)
	}
}
