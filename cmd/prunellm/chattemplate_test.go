package main

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"prunellm/internal/tinymodel"
	"prunellm/models"
	"prunellm/models/gguf"
	"prunellm/openapi"
)

// modelWithTemplate writes a model file with the template and returns its path.
func modelWithTemplate(t *testing.T, template string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tiny.gguf")
	if err := tinymodel.Write(path, tinymodel.Options{Keys: []gguf.KV{{Key: "tokenizer.chat_template", Value: template}}}); err != nil {
		t.Fatal(err)
	}
	return path
}

func openModel(t *testing.T, path string) *models.GGUF {
	t.Helper()
	model, err := models.OpenGGUF(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { model.Close() })
	return model
}

func templateFile(t *testing.T, source string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "chat.jinja")
	if err := os.WriteFile(path, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestChatTemplateFlag(t *testing.T) {
	model := openModel(t, modelWithTemplate(t, "own {{ messages[0].content }}"))
	for _, test := range []struct{ file, want string }{{"", "own Hi"}, {templateFile(t, "file {{ messages[0].content }}"), "file Hi"}} {
		var logged bytes.Buffer
		template, err := chatFlags{ChatTemplate: test.file}.template(model, slog.New(slog.NewTextHandler(&logged, nil)))
		if err != nil {
			t.Fatal(err)
		}
		got, err := template.Prompt([]openapi.Message{{Role: "user", Content: "Hi"}}, nil, true)
		if got != test.want || err != nil || logged.Len() > 0 {
			t.Errorf("the prompt by %q is %q, %v, want %q; logged %q", test.file, got, err, test.want, logged.String())
		}
	}
	for name, file := range map[string]string{
		"missing": filepath.Join(t.TempDir(), "none"), "no Jinja": templateFile(t, "{% if %}"), "empty": templateFile(t, ""), "folder": t.TempDir(),
	} {
		_, err := chatFlags{ChatTemplate: file}.template(model, slog.New(slog.DiscardHandler))
		if usage := (usageError{}); !errors.As(err, &usage) || !strings.Contains(err.Error(), "--chat-template") {
			t.Errorf("%s: error %v, want a usage error that names --chat-template", name, err)
		}
	}
	t.Setenv("PRUNELLM_CHAT_TEMPLATE", "/of/the/environment")
	if cli, err := parsedArgs(t, "serve"); err != nil || cli.Serve.ChatTemplate != "/of/the/environment" {
		t.Errorf("PRUNELLM_CHAT_TEMPLATE gives %q, %v", cli.Serve.ChatTemplate, err)
	}
}

func TestChatMLIsLogged(t *testing.T) {
	model := openModel(t, modelWithTemplate(t, ""))
	var logged bytes.Buffer
	if _, err := (chatFlags{}).template(model, slog.New(slog.NewTextHandler(&logged, nil))); err != nil || !strings.Contains(logged.String(), "ChatML") {
		t.Errorf("error %v, logged %q", err, logged.String())
	}
}

func TestInspectRendersTheTemplate(t *testing.T) {
	for _, test := range []struct {
		template, stdout, stderr string
		status                   int
	}{
		{"[{{ messages[0].content }}]", `chat template: 27 bytes; the message Hello becomes "[Hello]"`, "", 0},
		{"", `chat template: none, ChatML is used; the message Hello becomes "<|im_start|>user\nHello`, "", 0},
		{"{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}", "chat template: refuses a system message: chat template: no system", "", 0},
		{"{{ messages[0].no.thing }}", "", "has no attribute 'no'", exitFailed},
		{"{% if %}", "", "chat template of", exitFailed},
	} {
		var stdout, stderr bytes.Buffer
		status := run(t.Context(), []string{"inspect", modelWithTemplate(t, test.template)}, nil, &stdout, &stderr)
		if status != test.status || !strings.Contains(stdout.String(), test.stdout) || !strings.Contains(stderr.String(), test.stderr) {
			t.Errorf("inspect of %q gives status %d, %q, %q", test.template, status, stdout.String(), stderr.String())
		}
		if passed := strings.Contains(stdout.String(), "checks: passed"); passed != (test.status == 0) {
			t.Errorf("inspect of %q: passed %v", test.template, passed)
		}
	}
}

func TestReasoningFlags(t *testing.T) {
	for args, want := range map[string]string{
		"": "nil -1", "--reasoning on": "true -1", "--reasoning off": "false -1", "--reasoning-budget 0": "false 0", "--reasoning-budget 7": "nil 7",
	} {
		cli, err := parsedArgs(t, append([]string{"serve"}, strings.Fields(args)...)...)
		if err != nil {
			t.Fatal(err)
		}
		thinking := cli.Serve.thinking()
		on := "nil"
		if thinking.Enabled != nil {
			on = fmt.Sprint(*thinking.Enabled)
		}
		if got := fmt.Sprint(on, " ", *thinking.Budget); got != want {
			t.Errorf("%q is %q, want %q", args, got, want)
		}
	}
	for _, args := range [][]string{{"serve", "--reasoning", "maybe"}, {"serve", "--reasoning-budget=-2"}} {
		if _, err := parsedArgs(t, args...); err == nil || !strings.Contains(err.Error(), "--reasoning") {
			t.Errorf("%v: %v", args, err)
		}
	}
}
