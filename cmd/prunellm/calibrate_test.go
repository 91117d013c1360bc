package main

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
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
		t.Errorf("the cache folder still holds %v, %v, want nothing", rest, err)
	}
}

// The refit's further tokens come from the same file. They are neither scored nor held out.
func TestCalibrateWritesFurtherText(t *testing.T) {
	dir := t.TempDir()
	model, text, output := filepath.Join(dir, "tiny.gguf"), filepath.Join(dir, "text.txt"), filepath.Join(dir, "tokens.json")
	if err := tinymodel.Write(model, tinymodel.Options{Context: 64}); err != nil {
		t.Fatal(err)
	}
	var content strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&content, "%d ", i)
	}
	if err := os.WriteFile(text, []byte(content.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	written := func(flags ...string) variant.Text {
		t.Helper()
		cli, err := parsedArgs(t, append([]string{"calibrate", "--model", model, "-o", output, "--cache-dir", filepath.Join(dir, "cache"), "--calibration", text,
			"--calibration-tokens", "256", "--allow-unknown-pre-tokenizer"}, flags...)...)
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
		decoded, err := variant.DecodeText(value, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		return decoded
	}
	scored := written("--no-reconstruct")
	if len(scored.Further) != 0 || len(scored.Tokens) == 0 || len(scored.HeldOut) == 0 {
		t.Fatalf("without a refit: %d scored, %d further and %d held-out sequences, want scored and held-out ones alone",
			len(scored.Tokens), len(scored.Further), len(scored.HeldOut))
	}
	all := written() // four times as many
	if !reflect.DeepEqual(all.Tokens, scored.Tokens) || !reflect.DeepEqual(all.HeldOut, scored.HeldOut) {
		t.Error("a refit on more text changes the scored or the held-out text")
	}
	length := len(all.Tokens[0])
	if got, want := len(all.Further)*length, 3*256; got != want {
		t.Errorf("%d further tokens, want %d", got, want)
	}
	seen := map[string]bool{}
	for _, sequence := range slices.Concat(all.Tokens, all.HeldOut, all.Further) {
		if name := fmt.Sprint(sequence); seen[name] {
			t.Errorf("the text has %s twice", name)
		} else {
			seen[name] = true
		}
	}
	if got := len(written("--refit-tokens", "512").Further) * length; got != 256 {
		t.Errorf("%d further tokens for a refit on 512, want 256", got)
	}
	if rest := written("--refit-tokens", "100000").Further; len(rest) <= len(all.Further) || len(rest) > 100000/length {
		t.Errorf("%d further sequences for a refit on more tokens than the file has, want all other sequences of the file", len(rest))
	}
}
