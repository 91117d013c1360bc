package main

import (
	"bytes"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
)

// Of a file that cannot be read nothing is told but why.
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
