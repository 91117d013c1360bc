package server

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"

	"prunellm/infer/gbnf"
	"prunellm/openapi"
)

// claudeCode returns the bodies of two consecutive requests of Claude Code 2.1.197. The second contains a tool result. Texts
// are shortened, and some tools are left out.
func claudeCode(t *testing.T) []string {
	t.Helper()
	file, err := os.ReadFile("testdata/claude-code.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	var bodies []string
	for line := range bytes.Lines(file) {
		bodies = append(bodies, strings.TrimSpace(string(line)))
	}
	if len(bodies) != 2 {
		t.Fatalf("%d requests, want 2", len(bodies))
	}
	return bodies
}

// TestClaudeCode replays these requests with their hints, beta headers and the line in the system prompt that changes. The
// second prompt must begin with the first, so that the prompt cache has all of the first.
func TestClaudeCode(t *testing.T) {
	fake := newFake()
	fake.template = toolsHermes
	fake.context = 1 << 16
	s := serve(t, fake)
	var prompts []string
	for _, body := range claudeCode(t) {
		got := s.post("/v1/messages?beta=true", body, "Authorization", "Bearer k", "anthropic-version", "2023-06-01", "x-app", "cli",
			"anthropic-beta", "claude-code-20250219,interleaved-thinking-2025-05-14,context-management-2025-06-27,mid-conversation-system-2026-04-07",
			"anthropic-dangerous-direct-browser-access", "true")
		if got.status != 200 {
			t.Fatalf("%d %s", got.status, got.body)
		}
		if message := assemble(t, got); *message.StopReason != openapi.StopEndTurn {
			t.Errorf("message %+v", message)
		}
		prompts = append(prompts, text(&fakeVariant{}, fake.last().Prompt))
	}
	if !strings.HasPrefix(prompts[1], prompts[0]) || strings.Contains(prompts[0], "billing") {
		t.Errorf("prompt\n%s\ndoes not continue\n%s", prompts[1], prompts[0])
	}
	for _, piece := range []string{"system:You are an agent.", "user:<system-reminder>", "say hi<|end|>system:Available agent types", "tool:hello<|end|>"} {
		if !strings.Contains(prompts[1], piece) {
			t.Errorf("the prompt lacks %q:\n%s", piece, prompts[1])
		}
	}
}

// TestClaudeCodeGrammar checks that a grammar can express calls of Claude Code's tools.
func TestClaudeCodeGrammar(t *testing.T) {
	req, err := openapi.DecodeMessages([]byte(claudeCode(t)[0]), openapi.DefaultSampling)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(req.Tools, func(tool openapi.Tool) bool { return tool.Name == "Bash" }) {
		t.Fatalf("tools %v", req.Tools)
	}
	grammar, err := fakeChat(t, toolsHermes).Grammar(&req.Turn, func(schema []byte, strict bool) (string, error) {
		if strict {
			return gbnf.FromSchema(schema)
		}
		return gbnf.FromSchemaRelaxed(schema)
	}, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := gbnf.Parse(grammar); err != nil {
		t.Errorf("%v in\n%s", err, grammar)
	}
}
