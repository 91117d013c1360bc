//go:build cgo

package prune_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/gomlx/gomlx/backends"

	"prunellm/convert/ggmlquant"
	"prunellm/internal/xla"
	"prunellm/internal/xla/xlatest"
	"prunellm/models"
)

var openBackend = sync.OnceValues(func() (backends.Backend, error) {
	return xla.Open(slog.Default(), xlatest.Options(os.Getenv))
})

// testBackend is XLA on the CPU, shared by all tests.
func testBackend(t testing.TB) backends.Backend {
	t.Helper()
	backend, err := openBackend()
	if err != nil {
		needResource(t, err)
	}
	return backend
}

// defaultModel is SmolLM2-135M-Instruct, which make setup fetches.
func defaultModel(t testing.TB) models.Weights {
	t.Helper()
	path := filepath.Join(os.Getenv("PRUNELLM_HOME"), "models", "SmolLM2-135M-Instruct.Q4_1.gguf")
	model, err := models.OpenGGUF(path, ggmlquant.Dequantize)
	if err != nil {
		needResource(t, err)
	}
	t.Cleanup(func() { model.Close() })
	return model
}

// needResource fails in CI and skips elsewhere.
func needResource(t testing.TB, err error) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("missing resource: %v", err)
	}
	t.Skipf("missing resource (make setup fetches it): %v", err)
}
