package e2e

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"prunellm/internal/e2e/program"
)

// clientLimit bounds the cases of one client.
const clientLimit = 10 * time.Minute

// langchainLacks are the cases that langchain-openai has no calls for; see langchain_cases.py.
var langchainLacks = []string{"models.list", "models.retrieve", "chat.developer", "completions.echo", "embeddings.base64"}

// The official clients run the same list of cases against the binary with the real model.
func TestOfficialClients(t *testing.T) {
	home := clientsHome(t)
	want := cases(t, "clients/cases.txt")
	at := startForClients(t, "k-go", "k-python", "k-node", "k-langchain")
	python := filepath.Join(home, "python", "bin", "python")
	t.Run("clients", func(t *testing.T) { // returns after all parallel subtests
		t.Run("openai-go", func(t *testing.T) {
			t.Parallel()
			runGoCases(t, at, want)
		})
		t.Run("openai-python", func(t *testing.T) {
			t.Parallel()
			at.run(t, want, nil, "k-python", python, "clients/cases.py")
		})
		t.Run("openai-node", func(t *testing.T) {
			t.Parallel()
			at.run(t, want, nil, "k-node", nodeProgram(home), "clients/cases.cjs", "NODE_PATH="+filepath.Join(home, "node", "node_modules"))
		})
		t.Run("langchain-openai", func(t *testing.T) {
			t.Parallel()
			at.run(t, want, langchainLacks, "k-langchain", python, "clients/langchain_cases.py")
		})
	})
}

// TestAnthropicClient runs the cases of anthropic, the official Python client of Anthropic's API.
func TestAnthropicClient(t *testing.T) {
	python := filepath.Join(clientsHome(t), "python", "bin", "python")
	want := cases(t, "clients/anthropic_cases.txt")
	startForClients(t, "k-anthropic").run(t, want, nil, "k-anthropic", python, "clients/anthropic_cases.py")
}

// TestOllamaClient runs the cases of ollama, the official Python client of Ollama's API.
func TestOllamaClient(t *testing.T) {
	python := filepath.Join(clientsHome(t), "python", "bin", "python")
	want := cases(t, "clients/ollama_cases.txt")
	startForClients(t, "k-ollama").run(t, want, nil, "k-ollama", python, "clients/ollama_cases.py")
}

// startForClients starts a server with keys, and one that accepts only one request per minute. Both run until the test's end.
func startForClients(t *testing.T, keys ...string) clientEnv {
	t.Helper()
	file := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(file, []byte(strings.Join(keys, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"--ratio", "0", "--ctx", "2048", "--cache-dir", t.TempDir(), "--api-key-file", file}
	open := program.Start(t, args...)
	limited := program.Start(t, append(args, "--rate-limit", "1")...)
	open.WaitReady(program.WarmLimit)
	limited.WaitReady(program.WarmLimit)
	t.Cleanup(func() {
		open.Stop()
		limited.Stop()
	})
	return clientEnv{base: open.Base + "/v1", limited: limited.Base + "/v1"}
}

// clientsHome returns the folder in which scripts/setup/install --tests installs the clients.
func clientsHome(t *testing.T) string {
	t.Helper()
	home := os.Getenv("PRUNELLM_HOME")
	if home == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			t.Fatal(err)
		}
		home = filepath.Join(cache, "prunellm")
	}
	home = filepath.Join(home, "clients")
	program.Need(t, filepath.Join(home, "ready"), "make setup-tests")
	return home
}

// nodeProgram returns the system's Node, or else the one that setup fetched.
func nodeProgram(home string) string {
	if path, err := exec.LookPath("node"); err == nil {
		return path
	}
	return filepath.Join(home, "python", "bin", "node")
}

// cases returns the names in a list of cases.
func cases(t *testing.T, list string) []string {
	t.Helper()
	text, err := os.ReadFile(list)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			names = append(names, line)
		}
	}
	return names
}

// clientEnv has the base URLs of the servers.
type clientEnv struct{ base, limited string }

// run runs a client's script, which prints a line for each case, and checks that exactly the wanted cases pass.
func (at clientEnv) run(t *testing.T, want, mayLack []string, key, interpreter, script string, env ...string) {
	ctx, cancel := context.WithTimeout(t.Context(), clientLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, interpreter, script)
	cmd.Env = append(append(os.Environ(), "BASE_URL="+at.base, "LIMITED_URL="+at.limited, "API_KEY="+key, "PYTHONDONTWRITEBYTECODE=1"), env...)
	out, err := cmd.Output()
	var passed []string
	lines := bufio.NewScanner(strings.NewReader(string(out)))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		kind, rest, _ := strings.Cut(lines.Text(), " ")
		name, reason, _ := strings.Cut(rest, " ")
		switch kind {
		case "ok":
			passed = append(passed, name)
		case "skip":
			if !slices.Contains(mayLack, name) {
				t.Errorf("case %s is skipped: %s", name, reason)
			}
			passed = append(passed, name)
		case "FAIL":
			t.Errorf("case %s: %s", name, reason)
		}
	}
	if err != nil {
		t.Errorf("%s: %v", script, err)
	}
	if slices.Sort(passed); !t.Failed() && !slices.Equal(passed, slices.Sorted(slices.Values(want))) {
		t.Errorf("passed cases %q, want %q", passed, want)
	}
}
