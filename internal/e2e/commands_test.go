package e2e

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"math"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"prunellm/internal/e2e/program"
	"prunellm/models/gguf"
	"prunellm/models/safetensors"
)

func TestBadInput(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	whole := program.DefaultModel(t)
	data, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	huge := append([]byte("GGUF"), 3, 0, 0, 0)
	huge = binary.LittleEndian.AppendUint64(huge, math.MaxUint64)
	huge = binary.LittleEndian.AppendUint64(huge, math.MaxUint64)
	files := map[string]string{
		"missing":   filepath.Join(dir, "missing.gguf"),
		"empty":     write("empty.gguf", nil),
		"text":      write("text.gguf", []byte(strings.Repeat("not a model\n", 1000))),
		"truncated": write("truncated.gguf", data[:len(data)/2]),
		"header":    write("header.gguf", data[:4096]),
		"counts":    write("counts.gguf", huge),
		"nan":       write("nan.gguf", withNaN(t, whole, data)),
	}
	output := filepath.Join(dir, "out.gguf")
	cache := filepath.Join(dir, "cache")
	for kind, path := range files {
		t.Run(kind, func(t *testing.T) {
			program.CheckRefused(t, filepath.Base(path), "inspect", path)
			program.CheckRefused(t, filepath.Base(path), "prune", "--model", path, "--ratio", "0.2", "-o", output, "--cache-dir", cache)
			program.CheckRefused(t, filepath.Base(path), "prune", "--model", path, "--ratio", "0", "--file-type", "q8_0", "-o", output, "--cache-dir", cache)
			program.CheckRefused(t, filepath.Base(path), "serve", "--model", path, "--addr", program.FreeAddr(t), "--cache-dir", cache)
			if _, err := os.Stat(output); !os.IsNotExist(err) {
				t.Errorf("output left behind: %v", err)
			}
		})
	}
}

// withNaN returns a copy of a model's bytes in which the scale of one block of weights is NaN.
func withNaN(t *testing.T, path string, data []byte) []byte {
	t.Helper()
	file, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	info, ok := file.Tensor("blk.3.ffn_up.weight")
	if !ok || !info.Type.Quantized() {
		t.Fatalf("tensor is %+v, want a quantized one", info)
	}
	copied := bytes.Clone(data)
	binary.LittleEndian.PutUint16(copied[file.DataOffset+info.Offset+int64(7*info.Type.TypeSize()):], 0x7e01)
	return copied
}

func TestBadFlags(t *testing.T) {
	model := program.DefaultModel(t)
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	cache := t.TempDir()
	for _, ratio := range []string{"NaN", "-1", "1", "1e309", "x", ""} {
		program.CheckRefused(t, "ratio", "prune", "--model", model, "--ratio="+ratio, "-o", filepath.Join(cache, "o.gguf"))
		program.CheckRefused(t, "ratio", "serve", "--model", model, "--ratio="+ratio, "--addr", program.FreeAddr(t))
	}
	program.CheckRefused(t, "ratio", "serve", "--model", model, "--ratio", "0.9", "--addr", program.FreeAddr(t), "--cache-dir", cache)
	program.CheckRefused(t, "in use", "serve", "--model", model, "--ratio", "0", "--addr", busy.Addr().String(), "--cache-dir", cache)
	program.CheckRefused(t, "--insecure", "serve", "--model", model, "--addr", "0.0.0.0:0")
	program.CheckRefused(t, "no-such-flag", "serve", "--no-such-flag")
	program.CheckRefused(t, "/proc/nowhere", "serve", "--model", model, "--ratio", "0", "--cache-dir", "/proc/nowhere", "--addr", program.FreeAddr(t))
	program.CheckRefused(t, "redis", "serve", "--model", model, "--ratio", "0", "--redis", "http://x", "--cache-dir", cache, "--addr", program.FreeAddr(t))
	tokens := filepath.Join(cache, "tokens.json")
	for _, text := range []string{``, `{}`, `{"tokens": []}`, `{"tokens": [[1]]}`, `{"tokens": [[1, 49152]]}`, `{"tokens": [[1, -2]]}`, `{"tokens": "x"}`} {
		if err := os.WriteFile(tokens, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		program.CheckRefused(t, "tokens.json", "score", "--model", model, "--tokens", tokens, "-o", filepath.Join(cache, "o.safetensors"))
	}
}

func TestHelp(t *testing.T) {
	for _, args := range [][]string{{"--help"}, {"serve", "--help"}, {"prune", "--help"}, {"score", "--help"}, {"inspect", "--help"}} {
		if r := program.Command(t, program.BadInputLimit, args...); r.Status != 0 || !strings.Contains(r.Stdout, "Usage: prunellm") || r.Stderr != "" {
			t.Errorf("prunellm %v: status %d, stdout %.80q, stderr %q", args, r.Status, r.Stdout, r.Stderr)
		}
	}
	help := strings.Join(strings.Fields(program.Command(t, program.BadInputLimit, "serve", "--help").Stdout), " ")
	for _, want := range []string{"(default 127.0.0.1:8080)", "(default 0.2)", "--calibration-tokens=4096", "PRUNELLM_RATIO", `--criterion="sdm2"`} {
		if !strings.Contains(help, want) {
			t.Errorf("serve --help lacks %q", want)
		}
	}
	if r := program.Command(t, program.BadInputLimit, "version"); r.Status != 0 || !strings.Contains(r.Stdout, "github.com/ollama/ollama v0.17.4") {
		t.Errorf("version: status %d, %q", r.Status, r.Stdout)
	}
}

// Flags override variables, and variables override the file.
func TestConfigurationOrder(t *testing.T) {
	config := filepath.Join(t.TempDir(), "prunellm.yaml")
	if err := os.WriteFile(config, []byte("serve:\n  ratio: 7\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	program.CheckRefused(t, "--ratio is 7", "serve", "--config", config)
	t.Setenv("PRUNELLM_RATIO", "8")
	program.CheckRefused(t, "--ratio is 8", "serve", "--config", config)
	program.CheckRefused(t, "--ratio is 9", "serve", "--config", config, "--ratio", "9")
}

// prune writes a valid file of the requested ratio, and with ratio 0 an unchanged one. score writes both stages.
func TestPruneInspectScore(t *testing.T) {
	model, dir := program.DefaultModel(t), t.TempDir()
	cache := filepath.Join(dir, "cache")
	slim := filepath.Join(dir, "slim.gguf")
	args := append([]string{"prune", "--model", model, "--ratio", "0.2", "-o", slim, "--cache-dir", cache}, quick...)
	if r := program.Command(t, program.ColdLimit, args...); r.Status != 0 {
		t.Fatalf("prune: status %d\n%s", r.Status, r.Stderr)
	} else if !strings.Contains(r.Stderr, "perplexity_ratio=") {
		t.Errorf("prune does not print the cost of pruning:\n%s", r.Stderr)
	}
	checkCardAgain(t, cache, args)
	inspected := program.Command(t, program.BadInputLimit, "inspect", slim)
	for _, want := range []string{"0.2 requested", "checks: passed"} {
		if inspected.Status != 0 || !strings.Contains(inspected.Stdout, want) {
			t.Errorf("inspect: status %d, want %q in\n%s%s", inspected.Status, want, inspected.Stdout, inspected.Stderr)
		}
	}
	tokens, scores := filepath.Join(dir, "tokens.json"), filepath.Join(dir, "scores.safetensors")
	text, err := json.Marshal(map[string]any{"tokens": [][]int{{1, 2, 3, 4, 5, 6, 7, 8}}, "other": "ignored"})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(tokens, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if r := program.Command(t, program.ColdLimit, "score", "--model", model, "--tokens", tokens, "-o", scores); r.Status != 0 {
		t.Fatalf("score: status %d\n%s", r.Status, r.Stderr)
	}
	file, err := safetensors.Open(scores)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, stage := range []string{"stage1", "stage2"} {
		info, err := file.Tensor(stage)
		if err != nil || len(info.Shape) != 2 || info.Shape[0] != 30 || info.Shape[1] != 1536 || info.DType != safetensors.F32 {
			t.Errorf("tensor %s = %+v, %v, want float32[30, 1536]", stage, info, err)
		}
	}
}

// checkCardAgain measures a card again: with the dense model's predictions from the first measurement's file, without the file,
// and with a file of another model. The card must always be the same.
func checkCardAgain(t *testing.T, cache string, prune []string) {
	t.Helper()
	figures := func() string {
		t.Helper()
		cards, err := filepath.Glob(filepath.Join(cache, "v1", "values", "*", "card"))
		if err != nil || len(cards) != 1 {
			t.Fatalf("cards: %v, %v, want one folder", cards, err)
		}
		if err := os.RemoveAll(cards[0]); err != nil {
			t.Fatal(err)
		}
		r := program.Command(t, program.ColdLimit, prune...)
		_, after, found := strings.Cut(r.Stderr, " perplexity=")
		if r.Status != 0 || !found || strings.Contains(r.Stderr, "WARN") {
			t.Fatalf("prune again: status %d\n%s", r.Status, r.Stderr)
		}
		return after
	}
	path := filepath.Join(cache, "dense-predictions")
	first, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	want := figures()
	if now, err := os.Stat(path); err != nil || !os.SameFile(first, now) {
		t.Errorf("the file of the dense model's predictions was not used (%v)", err)
	}
	for what, change := range map[string]func() error{
		"removed":          func() error { return os.Remove(path) },
		"of another model": func() error { return os.WriteFile(path, []byte("something else"), 0o600) },
	} {
		if err := change(); err != nil {
			t.Fatal(err)
		}
		if got := figures(); got != want {
			t.Errorf("with the file of predictions %s the card is %s, want %s", what, got, want)
		}
	}
}

// eval prints one object. The dense model does not diverge from itself, and a pruned one diverges a little.
func TestEval(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text.txt")
	prose := "The river runs past the old mill, and in spring its water turns the wheel again. Farmers bring their corn, and the miller's son carries the sacks. "
	if err := os.WriteFile(text, []byte(strings.Repeat(prose, 40)), 0o600); err != nil {
		t.Fatal(err)
	}
	args := append([]string{"eval", "--json", "--ratios", "0,0.2", "--text", text, "--window", "128", "--windows", "3",
		"--model", program.DefaultModel(t), "--cache-dir", filepath.Join(dir, "cache")}, quick...)
	r := program.Command(t, program.ColdLimit, args...)
	var report struct {
		Model    string
		Window   int
		Windows  int
		Variants []struct {
			Ratio, Perplexity, Seconds float64
			KL                         float64 `json:"kl_to_dense"`
			Agreement                  float64 `json:"top1_agreement"`
			Parameters, Bytes          int64
		}
	}
	if err := json.Unmarshal([]byte(r.Stdout), &report); err != nil || r.Status != 0 {
		t.Fatalf("eval: status %d, %v\n%s%s", r.Status, err, r.Stdout, r.Stderr)
	}
	if report.Model != name || report.Window != 128 || report.Windows != 3 || len(report.Variants) != 2 {
		t.Fatalf("eval = %+v, want %s, 3 windows of 128, 2 variants", report, name)
	}
	dense, slim := report.Variants[0], report.Variants[1]
	if dense.KL != 0 || dense.Agreement != 1 || dense.Perplexity < 1 || dense.Parameters != 134515008 {
		t.Errorf("dense = %+v, want no divergence, full agreement, 134515008 parameters", dense)
	}
	if slim.Ratio != 0.2 || slim.KL <= 0 || slim.Agreement >= 1 || slim.Agreement < 0.2 || slim.Parameters >= dense.Parameters*81/100 {
		t.Errorf("slim = %+v, want some divergence and a fifth of the parameters removed", slim)
	}
	program.CheckRefused(t, "text.txt", "eval", "--text", text, "--window", "4096", "--ratios", "0", "--cache-dir", filepath.Join(dir, "cache"))
}
