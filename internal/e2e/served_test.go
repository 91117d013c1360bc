package e2e

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/openai/openai-go/v3"

	"prunellm/internal/e2e/program"
	"prunellm/internal/tinymodel"
)

// A model that cannot be pruned is served at ratio 0 with a warning. The commands and the server refuse every other ratio and
// name the reason.
func TestServedOnly(t *testing.T) {
	for _, architecture := range tinymodel.ServedOnly() {
		t.Run(architecture, func(t *testing.T) {
			dir := t.TempDir()
			model, cache := filepath.Join(dir, "other.gguf"), filepath.Join(dir, "cache")
			if err := tinymodel.WriteServedOnly(model, architecture, 6); err != nil {
				t.Fatal(err)
			}
			for _, flags := range [][]string{{"--ratio", "0.2"}, {"--ratio", "0", "--file-type", "q8_0"}} {
				r := program.Command(t, program.BadInputLimit, append([]string{"serve", "--model", model, "--cache-dir", cache, "--addr", "127.0.0.1:0"}, flags...)...)
				if r.Status == 0 || !strings.Contains(r.Stderr, `cannot be pruned: architecture "`+architecture) || !strings.Contains(r.Stderr, "llama, ") {
					t.Errorf("%q: status %d, %s", flags, r.Status, r.Stderr)
				}
			}
			s := program.Start(t, "--model", model, "--ratio", "0", "--cache-dir", cache, "--ctx", "256")
			s.WaitReady(program.WarmLimit)
			api := program.Client(s.Base)
			response, err := api.Chat.Completions.New(t.Context(), program.Question("other"))
			if err != nil || response.Model != "other@0" || response.Usage.CompletionTokens < 1 {
				t.Errorf("chat: %v, %+v", err, response)
			}
			var refused *openai.Error
			if _, err := api.Chat.Completions.New(t.Context(), program.Question("other@0.3")); !errors.As(err, &refused) ||
				refused.Code != "invalid_ratio" || !strings.Contains(refused.Message, "cannot be pruned") {
				t.Errorf("ratio 0.3: %v", err)
			}
			s.Stop()
		})
	}
}

// If llama.cpp crashes on a file, the start ends with an error. It aborts on a gemma2 model whose layers all have a sliding
// window.
func TestServedOnlyCrash(t *testing.T) {
	dir := t.TempDir()
	model := filepath.Join(dir, "other.gguf")
	if err := tinymodel.WriteServedOnly(model, "gemma2", 1); err != nil {
		t.Fatal(err)
	}
	r := program.Command(t, program.WarmLimit, "serve", "--model", model, "--ratio", "0", "--cache-dir", filepath.Join(dir, "cache"), "--addr", "127.0.0.1:0")
	if r.Status != 1 || !strings.Contains(r.Stderr, "llama.cpp cannot run the model") {
		t.Errorf("status %d, %s", r.Status, r.Stderr)
	}
}
