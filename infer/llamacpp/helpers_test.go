package llamacpp

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"prunellm/convert/ggmlquant"
	"prunellm/infer"
	"prunellm/internal/tinymodel"
)

// defaultModel returns the path of the default model. Without it the test fails in CI and skips elsewhere.
func defaultModel(tb testing.TB) string {
	tb.Helper()
	home := os.Getenv("PRUNELLM_HOME")
	if home == "" {
		dir, err := os.UserCacheDir()
		if err != nil {
			tb.Fatal(err)
		}
		home = filepath.Join(dir, "prunellm")
	}
	path := filepath.Join(home, "models", "SmolLM2-135M-Instruct.Q4_1.gguf")
	if _, err := os.Stat(path); err != nil {
		if os.Getenv("CI") == "true" {
			tb.Fatalf("the default model is missing: %v", err)
		}
		tb.Skipf("the default model is missing (make setup): %v", err)
	}
	return path
}

// tiny writes a random two-layer model.
func tiny(tb testing.TB, options tinymodel.Options) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "tiny.gguf")
	if options.Type.Quantized() {
		options.Quantize = ggmlquant.Quantize
	}
	if err := tinymodel.Write(path, options); err != nil {
		tb.Fatal(err)
	}
	return path
}

func open(tb testing.TB, path string, options Options) *Model {
	tb.Helper()
	m, err := Open(context.Background(), path, options)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := m.Close(); err != nil {
			tb.Errorf("Close: %v", err)
		}
	})
	return m
}

func forget(tb testing.TB, m *Model) {
	tb.Helper()
	for seq := range m.Sequences() {
		if err := m.SequenceRemove(seq, 0, -1); err != nil {
			tb.Fatal(err)
		}
	}
}

func decode(tb testing.TB, m *Model, entries ...infer.Entry) {
	tb.Helper()
	if err := m.Decode(entries); err != nil {
		tb.Fatal(err)
	}
}
