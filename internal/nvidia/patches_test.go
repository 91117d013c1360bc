package nvidia

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The patches of ggml's CUDA backend apply in order to the sources of the module in go.mod. They do so with and without the
// unproven patches, which never ran on a card. When the set of patches changes, the script restores the sources first.
func TestPatchesApply(t *testing.T) {
	if _, err := exec.LookPath("patch"); err != nil {
		t.Skip("patch is missing: scripts/setup/install --cuda installs it")
	}
	module, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/ollama/ollama").Output()
	if err != nil {
		t.Fatal(err)
	}
	sources, folder := strings.TrimSpace(string(module)), t.TempDir()
	const backend = "ml/backend/ggml/ggml/src/ggml-cuda"
	if err := os.CopyFS(filepath.Join(folder, backend), os.DirFS(filepath.Join(sources, backend))); err != nil {
		t.Fatal(err)
	}
	if err := filepath.WalkDir(folder, func(path string, _ os.DirEntry, _ error) error { return os.Chmod(path, 0o755) }); err != nil { //nolint:gosec // a copy for the test
		t.Fatal(err)
	}
	for _, unproven := range []bool{false, true, false} {
		args := []string{sources, folder}
		if unproven {
			args = append([]string{"--unproven"}, args...)
		}
		if out, err := exec.Command("../../scripts/build/ggml-cuda/apply", args...).CombinedOutput(); err != nil || len(out) > 0 {
			t.Fatalf("apply %v: %v\n%s", args, err, out)
		}
		for file, want := range map[string]bool{"prunellm.cuh": true, "prunellm-launch.cuh": unproven, "prunellm-nodes.cuh": unproven} {
			if _, err := os.Stat(filepath.Join(folder, backend, file)); (err == nil) != want {
				t.Errorf("unproven %v: %s exists: %v, want %v", unproven, file, err == nil, want)
			}
		}
	}
}
