package models_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"prunellm/models"
)

func TestResolve(t *testing.T) {
	home := t.TempDir()
	file := filepath.Join(home, "x.gguf")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := models.Resolve(t.Context(), file, home); got != file || err != nil {
		t.Errorf("a path gives %q, %v", got, err)
	}
	if _, err := models.Resolve(t.Context(), "default", home); err == nil || !strings.Contains(err.Error(), "make setup") || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing default gives %v", err)
	}
	path := filepath.Join(home, "models", "SmolLM2-135M-Instruct.Q4_1.gguf")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := models.Resolve(t.Context(), "default", home); got != path || err != nil {
		t.Errorf("default gives %q, %v", got, err)
	}
	for ref, unsupported := range map[string]bool{"": false, "none.gguf": false, home: true, "hf:owner/name": true, "/dev/null": false} {
		if got, err := models.Resolve(t.Context(), ref, home); err == nil || errors.Is(err, models.ErrUnsupported) != unsupported {
			t.Errorf("%q gives %q, %v", ref, got, err)
		}
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := models.Resolve(cancelled, file, home); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestServedName(t *testing.T) {
	for name, want := range map[string]string{
		"SmolLM2-135M-Instruct.Q4_1.gguf":   "smollm2-135m-instruct",
		"Llama-3.2-1B-Instruct-Q4_K_M.gguf": "llama-3.2-1b-instruct",
		"qwen2.5-0.5b-instruct-q8_0.gguf":   "qwen2.5-0.5b-instruct",
		"Model-IQ3_XXS.gguf":                "model",
		"model-f16.gguf":                    "model",
		"model.BF16":                        "model",
		"Smollm2 135M 8k Lc100K Mix1 Ep2":   "smollm2-135m-8k-lc100k-mix1-ep2",
		"a@0.3/b\n<script>é":                "a-0.3-b-script",
		"...":                               "",
		"qwen3":                             "qwen3",
	} {
		if got := models.ServedName(name); got != want {
			t.Errorf("ServedName(%q) = %q, want %q", name, got, want)
		}
	}
}
