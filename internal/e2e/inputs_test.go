package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"prunellm/internal/e2e/program"
	"prunellm/internal/tinymodel"
)

func writeTiny(t *testing.T, path string, options tinymodel.Options) {
	t.Helper()
	if err := tinymodel.Write(path, options); err != nil {
		t.Fatal(err)
	}
}

// Only the server selects devices by the environment, not each child process again.
func TestDeviceVariable(t *testing.T) {
	dir := t.TempDir()
	model := filepath.Join(dir, "tiny.gguf")
	writeTiny(t, model, tinymodel.Options{FFN: []int{128, 128}})
	t.Setenv("PRUNELLM_DEVICE", "CUDA1")
	t.Setenv("CUDA_VISIBLE_DEVICES", "4,5")
	r := program.Command(t, program.ColdLimit, "prune", "--model", model, "--ratio", "0.2", "-o", filepath.Join(dir, "slim.gguf"), "--cache-dir", filepath.Join(dir, "cache"),
		"--calibration-tokens", "512")
	if r.Status != 0 || strings.Contains(r.Stderr, "not measured") {
		t.Errorf("prune: status %d\n%s", r.Status, r.Stderr)
	}
}

// prune refuses a format that cannot have the model's widths before it computes anything.
func TestOneWidth(t *testing.T) {
	dir := t.TempDir()
	qwen, widths, out := filepath.Join(dir, "qwen.gguf"), filepath.Join(dir, "openelm.gguf"), filepath.Join(dir, "out")
	writeTiny(t, qwen, tinymodel.Options{Architecture: "qwen3", Untied: true, FFN: []int{128, 128}})
	writeTiny(t, widths, tinymodel.Options{Architecture: "openelm", FFN: []int{128, 96}})
	cache := filepath.Join(dir, "cache")
	program.CheckRefused(t, "qwen3", "prune", "--model", qwen, "--ratio", "0.2", "--budget", "global", "-o", out, "--cache-dir", cache)
	program.CheckRefused(t, "width per layer", "prune", "--model", widths, "--ratio", "0.2", "--format", "safetensors", "-o", out, "--cache-dir", cache)
	if entries, err := filepath.Glob(filepath.Join(cache, "*")); err != nil || len(entries) > 0 {
		t.Errorf("the cache folder has %v, %v", entries, err)
	}
}

// A server whose model file was replaced serves the loaded variants, and makes no variant of the new file under the old name.
func TestModelReplacedWhileServing(t *testing.T) {
	dir := t.TempDir()
	model, cache := filepath.Join(dir, "live.gguf"), filepath.Join(dir, "cache")
	writeTiny(t, model, tinymodel.Options{FFN: []int{128, 128}})
	s := program.Start(t, "--model", model, "--ratio", "0", "--cache-dir", cache, "--ctx", "256", "--calibration-tokens", "512")
	s.WaitReady(program.WarmLimit)
	writeTiny(t, model+".new", tinymodel.Options{FFN: []int{128, 128}, Seed: 5})
	if err := os.Rename(model+".new", model); err != nil {
		t.Fatal(err)
	}
	api := program.Client(s.Base)
	if _, err := api.Chat.Completions.New(t.Context(), program.Question("live")); err != nil {
		t.Errorf("the loaded model: %v", err)
	}
	if _, err := api.Chat.Completions.New(t.Context(), program.Question("live@0.3")); err == nil {
		t.Error("a variant of another file answers")
	}
	s.Stop()
	if !strings.Contains(s.Stderr.String(), "replaced or changed") {
		t.Error("the log does not have the reason")
	}
	if scores, err := filepath.Glob(filepath.Join(cache, "v1", "values", "*", "scores*")); err != nil || len(scores) > 0 {
		t.Errorf("the cache folder has %v, %v", scores, err)
	}
}
