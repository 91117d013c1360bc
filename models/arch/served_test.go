package arch_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"prunellm/models/arch"
)

// notServed lists llama.cpp's architectures that are not causal decoders or have a recurrent state.
var notServed = strings.Fields(`clip bert nomic-bert nomic-bert-moe neo-bert jina-bert-v2 jina-bert-v3 gemma-embedding t5 t5encoder
	wavtokenizer-dec dream llada llada-moe rnd1 mamba mamba2 rwkv6 rwkv6qwen2 rwkv7 arwkv7 jamba falcon-h1 plamo2 granitehybrid
	lfm2 lfm2moe nemotron_h nemotron_h_moe qwen3next (unknown)`)

// Every architecture that the bundled llama.cpp names is either served or in notServed.
func TestServedIsWhatLlamaCppHas(t *testing.T) {
	module, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/ollama/ollama").Output()
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(module)), "llama/llama.cpp/src/llama-arch.cpp"))
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`\{ LLM_ARCH_\w+, *"([^"]*)"`).FindAllSubmatch(source, -1)
	if len(found) < 100 {
		t.Fatalf("%d architectures found", len(found))
	}
	refused := map[string]bool{}
	for _, name := range notServed {
		refused[name] = true
	}
	for _, match := range found {
		name := string(match[1])
		if arch.Served(name) == refused[name] {
			t.Errorf("%q: Served is %t, and it is in the list of the test: %t", name, arch.Served(name), refused[name])
		}
	}
	for _, row := range arch.Rows() {
		if !arch.Served(row.Name) {
			t.Errorf("%q can be pruned but not served", row.Name)
		}
	}
	if arch.Served("no such") {
		t.Error("Served reports true for a name that does not exist")
	}
}
