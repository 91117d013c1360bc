package llamacpp

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"prunellm/internal/trust"
)

// TestLibrariesOfAnotherUser covers folders that another user can write to: ggml would load libraries from them.
func TestLibrariesOfAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can create files of other users")
	}
	dir := t.TempDir()
	folder := func(name string) string {
		path := filepath.Join(dir, name, "lib", "ollama")
		if err := errors.Join(os.MkdirAll(path, 0o755), os.WriteFile(filepath.Join(path, "libggml-cpu.so"), nil, 0o755)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good, theirs, theirFile := folder("good"), folder("theirs"), folder("file")
	if err := errors.Join(os.Chown(filepath.Dir(theirs), 65534, 65534), os.Chown(filepath.Join(theirFile, "libggml-cpu.so"), 65534, 65534)); err != nil {
		t.Fatal(err)
	}
	trusted, err := trustedFolders([]string{theirs, "", good, filepath.Join(dir, "missing"), theirFile})
	if !slices.Equal(trusted, []string{good}) {
		t.Errorf("trusted folders %q, want %q", trusted, good)
	}
	var fault *trust.Error
	if !errors.As(err, &fault) || fault.Path != filepath.Dir(theirs) {
		t.Errorf("error = %v, want one about %q", err, filepath.Dir(theirs))
	}
	if _, err := trustedFolders([]string{good, filepath.Join(dir, "missing")}); err != nil {
		t.Errorf("error = %v", err)
	}
}

// TestNoLibrariesFromTheCurrentFolder has no home folder, but backends in the current folder.
func TestNoLibrariesFromTheCurrentFolder(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv(libraryVariable, "") // the test's end restores it
	os.Unsetenv(libraryVariable)
	if err := os.MkdirAll(filepath.Join("lib", "ollama", "cuda_v13"), 0o755); err != nil {
		t.Fatal(err)
	}
	before := libraryHome
	defer SetLibraryHome(before)
	SetLibraryHome("")
	for _, folder := range libraryFolders() {
		if !filepath.IsAbs(folder) {
			t.Errorf("ggml searches for libraries in %q", folder)
		}
	}
}
