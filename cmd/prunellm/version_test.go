package main

import (
	"bytes"
	"testing"
)

// --version prints the version. PRUNELLM_VERSION must not set it: that name is common for image tags.
func TestVersionFlag(t *testing.T) {
	t.Setenv("PRUNELLM_VERSION", "1.2")
	for _, args := range [][]string{{"--version"}, {"serve", "--version"}} {
		var stdout, stderr bytes.Buffer
		if status := run(t.Context(), args, nil, &stdout, &stderr); status != 0 || stdout.String() != "prunellm "+version+"\n" {
			t.Errorf("%q: status %d, %q and %q", args, status, stdout.String(), stderr.String())
		}
	}
	var stdout, stderr bytes.Buffer
	if status := run(t.Context(), []string{"version"}, nil, &stdout, &stderr); status != 0 {
		t.Errorf("version: status %d, %q", status, stderr.String())
	}
}
