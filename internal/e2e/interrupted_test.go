package e2e

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"prunellm/internal/e2e/program"
	"prunellm/internal/tinymodel"
)

// A prune that is killed while its child process computes leaves no partial result. The next one starts again in the same cache,
// writes the same file as an undisturbed one, and removes the temporary files of the first.
func TestInterruptedPrune(t *testing.T) {
	dir := t.TempDir()
	model := filepath.Join(dir, "tiny.gguf")
	if err := tinymodel.Write(model, tinymodel.Options{FFN: []int{128, 128}}); err != nil {
		t.Fatal(err)
	}
	prune := func(output, cache string) []string {
		return []string{"prune", "--model", model, "--ratio", "0.2", "-o", output, "--cache-dir", cache, "--calibration-tokens", "4096"}
	}
	cache, output := filepath.Join(dir, "cache"), filepath.Join(dir, "slim.gguf")
	cmd := exec.Command(program.Path(t), prune(output, cache)...)
	cmd.Dir = dir
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() { _ = cmd.Wait(); close(exited) }()
	deadline := time.Now().Add(time.Minute)
	for ended := false; !ended && program.ChildOf(cmd.Process.Pid) == 0; {
		select {
		case <-exited:
			ended = true // too fast to interrupt; the rest of the test is still valid
		default:
		}
		if time.Now().After(deadline) {
			t.Fatal("no child process after a minute")
		}
	}
	_ = cmd.Process.Kill()
	<-exited

	undisturbed := filepath.Join(dir, "undisturbed.gguf")
	for out, in := range map[string]string{output: cache, undisturbed: filepath.Join(dir, "other")} {
		if r := program.Command(t, program.ColdLimit, prune(out, in)...); r.Status != 0 {
			t.Fatalf("prune: status %d\n%s", r.Status, r.Stderr)
		}
	}
	got, err := os.ReadFile(output)
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(undisturbed)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("the file after an interruption differs from the undisturbed one")
	}
	err = filepath.WalkDir(filepath.Join(cache, "jobs"), func(path string, _ fs.DirEntry, err error) error {
		if err == nil && path != filepath.Join(cache, "jobs") {
			t.Errorf("%s is left behind", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
