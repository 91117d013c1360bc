package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"prunellm/internal/calibration"
	"prunellm/internal/tinymodel"
	"prunellm/models"
	"prunellm/models/gguf"
)

// TestUnknownPreTokenizer uses model files without a known pre-tokenizer, whose tokens may differ from those in training.
func TestUnknownPreTokenizer(t *testing.T) {
	const key = "tokenizer.ggml.pre"
	for name, options := range map[string]tinymodel.Options{
		"missing": {Without: []string{key}}, "unknown": {Keys: []gguf.KV{{Key: key, Value: "my-own"}}},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "tiny.gguf")
			if err := tinymodel.Write(path, options); err != nil {
				t.Fatal(err)
			}
			var stdout, stderr bytes.Buffer
			if status := run(t.Context(), []string{"inspect", path}, nil, &stdout, &stderr); status != 0 || !strings.Contains(stdout.String(), "warning: ") {
				t.Errorf("inspect: status %d, %q and %q, want a warning", status, stdout.String(), stderr.String())
			}
			model, err := models.OpenGGUF(path, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer model.Close()
			text := filepath.Join(t.TempDir(), "text")
			if err := os.WriteFile(text, []byte("a text"), 0o600); err != nil {
				t.Fatal(err)
			}
			flags := recipeFlags{Criterion: "fisher", Calibration: text, CalibrationTokens: 256, MixedPrecision: "no",
				Budget: "uniform", Temperature: 0.2, SliverKeep: 0.975}
			var usage usageError
			if _, err := flags.spec(model, 0.2, "q8_0"); !errors.As(err, &usage) || !strings.Contains(err.Error(), "--allow-unknown-pre-tokenizer") {
				t.Errorf("a calibration file: %v, want an error that names the flag", err)
			}
			flags.AllowUnknownPreTokenizer = true
			if _, err := flags.spec(model, 0.2, "q8_0"); err != nil {
				t.Errorf("a calibration file with the flag: %v", err)
			}
			flags.AllowUnknownPreTokenizer = false
			for _, own := range []string{calibration.SelfName, calibration.AutoName} {
				flags.Calibration = own
				if spec, err := flags.spec(model, 0.2, "q8_0"); err != nil || spec.Recipe.Calibration != calibration.Self().Identity {
					t.Errorf("%s is %q, %v, want the model's own text", own, spec.Recipe.Calibration, err)
				}
			}
		})
	}
}
