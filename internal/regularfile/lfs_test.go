package regularfile

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n"

// The error for a Git LFS pointer says so, whatever the file is for. A text that mentions a pointer is a text.
func TestGitLFSPointer(t *testing.T) {
	for content, want := range map[string]bool{
		pointer: true,
		pointer + strings.Repeat("x", maxPointerBytes): false,
		" " + pointer:       false,
		lfsHeader[:10]:      false,
		"version of a text": false,
		"":                  false,
	} {
		path := filepath.Join(t.TempDir(), "model.gguf")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Read(path, 1<<20)
		if got := err != nil && strings.Contains(err.Error(), "model.gguf\" is a Git LFS pointer"); got != want || (err != nil && !want) {
			t.Errorf("Read of %.60q: %v, want a refusal: %t", content, err, want)
		}
	}
}
