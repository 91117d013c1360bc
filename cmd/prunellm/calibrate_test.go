package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"prunellm/internal/tinymodel"
	"prunellm/internal/variant"
)

// The command writes temporary files to the cache folder alone, and removes those of a killed run.
func TestCalibrateLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	model, jobs := filepath.Join(dir, "tiny.gguf"), filepath.Join(dir, "cache", "jobs")
	if err := tinymodel.Write(model, tinymodel.Options{}); err != nil {
		t.Fatal(err)
	}
	left := filepath.Join(jobs, "job-1")
	if err := os.MkdirAll(left, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{left + ".lock", filepath.Join(left, "writer.gguf")} {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("TMPDIR", filepath.Join(dir, "none"))
	output := filepath.Join(dir, "tokens.json")
	cli, err := parsedArgs(t, "calibrate", "--model", model, "-o", output, "--cache-dir", filepath.Join(dir, "cache"), "--calibration-tokens", "256")
	if err != nil {
		t.Fatal(err)
	}
	if err := cli.Calibrate.Run(&environment{ctx: t.Context(), stderr: t.Output(), log: slog.New(slog.DiscardHandler), home: dir}); err != nil {
		t.Fatal(err)
	}
	value, err := os.ReadFile(output)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := variant.DecodeTokens(value, 1<<20); err != nil {
		t.Error(err)
	}
	if rest, err := os.ReadDir(jobs); err != nil || len(rest) != 0 {
		t.Errorf("%v, %v are left in the cache folder, want nothing", rest, err)
	}
}
