//go:build cgo

package prune

import (
	"log/slog"
	"os"
	"testing"

	"github.com/gomlx/gomlx/backends"

	"prunellm/internal/xla"
	"prunellm/internal/xla/xlatest"
)

// pluginBackend returns XLA. Without its plugin the test fails in CI and skips elsewhere.
func pluginBackend(t testing.TB) backends.Backend {
	t.Helper()
	backend, err := xla.Open(slog.Default(), xlatest.Options(os.Getenv))
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skipf("no plugin (make setup fetches it): %v", err)
	}
	t.Cleanup(backend.Finalize)
	return backend
}
