package main

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"prunellm/internal/tinymodel"
)

// For an unreadable file, inspect prints only the reason.
func TestInspectOfNothing(t *testing.T) {
	for _, path := range []string{filepath.Join(t.TempDir(), "missing.gguf"), "/dev/null"} {
		var stdout, stderr bytes.Buffer
		env := &environment{ctx: t.Context(), stdout: &stdout, stderr: &stderr, log: slog.New(slog.DiscardHandler)}
		err := (&inspectCommand{File: path}).Run(env)
		if err == nil || !strings.HasSuffix(err.Error(), "has 1 fault") || stdout.Len() > 0 || strings.Count(stderr.String(), "\n") != 1 {
			t.Errorf("inspect %q gives %v, %q, %q", path, err, stdout.String(), stderr.String())
		}
	}
}

// A full disk under standard output is an error.
func TestFullDiskIsAnError(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("there is no /dev/full")
	}
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	file := filepath.Join(t.TempDir(), "tiny.gguf")
	if err := tinymodel.Write(file, tinymodel.Options{}); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"inspect", file}, {"version"}} {
		var stderr bytes.Buffer
		if status := run(t.Context(), args, nil, full, &stderr); status != exitFailed || !strings.Contains(stderr.String(), "no space left") {
			t.Errorf("%v on a full disk gives status %d, %q", args, status, stderr.String())
		}
	}
}
