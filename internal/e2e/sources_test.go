package e2e

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"prunellm/internal/e2e/program"
	"prunellm/internal/tinymodel"
)

// checkPerLayerFolder checks that a folder has the width of each layer where vLLM reads it, and the classes that config.json
// names.
func checkPerLayerFolder(t *testing.T, folder string) {
	t.Helper()
	var config struct {
		Architectures []string
		Classes       map[string]string `json:"auto_map"`
		Blocks        []struct {
			FFN struct {
				Width int `json:"intermediate_size"`
			}
		} `json:"block_configs"`
	}
	data, err := os.ReadFile(filepath.Join(folder, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &config); err != nil || len(config.Blocks) != 2 || config.Architectures[0] != "DeciLMForCausalLM" ||
		config.Blocks[0].FFN.Width == config.Blocks[1].FFN.Width {
		t.Errorf("config.json = %s, %v", data, err)
	}
	for _, class := range config.Classes {
		module, name, _ := strings.Cut(class, ".")
		code, err := os.ReadFile(filepath.Join(folder, module+".py"))
		if err != nil || !strings.Contains(string(code), "class "+name+"(") {
			t.Errorf("class %s: %v", class, err)
		}
	}
	program.CheckRefused(t, "DeciLMForCausalLM", "inspect", folder)
}

// prune writes a safetensors folder, and every command accepts that folder as a model.
func TestSafetensorsFolder(t *testing.T) {
	dir := t.TempDir()
	model, folder, cache := filepath.Join(dir, "dense.gguf"), filepath.Join(dir, "Slim-Folder"), filepath.Join(dir, "cache")
	if err := tinymodel.Write(model, tinymodel.Options{FFN: []int{128, 128}}); err != nil {
		t.Fatal(err)
	}
	args := []string{"prune", "--model", model, "--ratio", "0.2", "--format", "safetensors", "--cache-dir", cache, "--calibration-tokens", "512"}
	program.CheckRefused(t, "--file-type", append(args, "-o", folder, "--file-type", "q8_0")...)
	program.CheckRefused(t, "not empty", append(args, "-o", dir)...)
	if r := program.Command(t, program.ColdLimit, append(args, "-o", folder)...); r.Status != 0 {
		t.Fatalf("prune: status %d\n%s", r.Status, r.Stderr)
	}
	var config struct {
		Architectures []string
		Width         int `json:"intermediate_size"`
	}
	data, err := os.ReadFile(filepath.Join(folder, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &config); err != nil || config.Width >= 128 || config.Width%32 != 0 || config.Architectures[0] != "LlamaForCausalLM" {
		t.Errorf("config.json = %s, %v", data, err)
	}
	widths := filepath.Join(dir, "Widths")
	if r := program.Command(t, program.ColdLimit, append(args, "-o", widths, "--budget", "global")...); r.Status != 0 {
		t.Fatalf("prune --budget global: status %d\n%s", r.Status, r.Stderr)
	}
	checkPerLayerFolder(t, widths)
	if r := program.Command(t, program.ColdLimit, "inspect", folder, "--cache-dir", cache); r.Status != 0 || !strings.Contains(r.Stdout, "checks: passed") {
		t.Errorf("inspect: status %d\n%s%s", r.Status, r.Stdout, r.Stderr)
	}
	again := filepath.Join(dir, "again")
	if r := program.Command(t, program.ColdLimit, "prune", "--model", folder, "--ratio", "0.1", "--format", "safetensors", "-o", again, "--cache-dir", cache, "--calibration-tokens", "512"); r.Status != 0 {
		t.Fatalf("prune of a folder: status %d\n%s", r.Status, r.Stderr)
	}
	s := program.Start(t, "--model", again, "--ratio", "0", "--cache-dir", cache, "--ctx", "512")
	s.WaitReady(program.WarmLimit)
	api := program.Client(s.Base)
	params := program.Question("again")
	response, err := api.Chat.Completions.New(t.Context(), params)
	if err != nil || response.Model != "again@0" {
		t.Errorf("chat: %v, %+v", err, response)
	}
	s.Stop()
}

// prune downloads a model from a hub by name. It refuses a redirect to another host and a file with another digest.
func TestHubModel(t *testing.T) {
	dir := t.TempDir()
	model := filepath.Join(dir, "dense.gguf")
	if err := tinymodel.Write(model, tinymodel.Options{FFN: []int{128, 128}}); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(model)
	if err != nil {
		t.Fatal(err)
	}
	commit, sum := strings.Repeat("cd", 20), fmt.Sprintf("%x", sha256.Sum256(data))
	hub := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("Authorization") != "Bearer hub-token":
			w.WriteHeader(http.StatusUnauthorized)
		case strings.HasPrefix(r.URL.Path, "/api/models/"):
			_ = json.NewEncoder(w).Encode(map[string]any{"sha": commit, "siblings": []any{
				map[string]any{"rfilename": "tiny-model.Q8_0.gguf", "lfs": map[string]any{"sha256": sum, "size": len(data)}}}})
		case strings.HasPrefix(r.URL.Path, "/owner/away/"):
			http.Redirect(w, r, "http://127.0.0.1:1/x", http.StatusFound)
		case strings.HasPrefix(r.URL.Path, "/owner/damaged/"):
			http.ServeContent(w, r, "", time.Time{}, strings.NewReader(strings.Repeat("x", len(data))))
		default:
			http.ServeFile(w, r, model)
		}
	}))
	defer hub.Close()
	cache := filepath.Join(dir, "cache")
	prune := func(ref string) []string {
		return []string{"prune", "--model", ref, "--ratio", "0", "-o", filepath.Join(dir, "o.gguf"), "--cache-dir", cache, "--hub-url", hub.URL}
	}
	program.CheckRefused(t, "HF_TOKEN", prune("hf:owner/tiny")...)
	t.Setenv("HF_TOKEN", "hub-token")
	program.CheckRefused(t, "allowed hosts", prune("hf:owner/away")...)
	program.CheckRefused(t, "checksum", prune("hf:owner/damaged")...)
	program.CheckRefused(t, "hf:owner/name", prune("hf:../x")...)
	if r := program.Command(t, program.ColdLimit, prune("hf:owner/tiny:q8_0")...); r.Status != 0 || strings.Contains(r.Stderr, "hub-token") {
		t.Fatalf("prune from the hub: status %d\n%s", r.Status, r.Stderr)
	}
	copied, err := os.ReadFile(filepath.Join(dir, "o.gguf"))
	if err != nil || string(copied) != string(data) {
		t.Errorf("ratio 0 gives %d bytes, %v, want the file of the hub", len(copied), err)
	}
}

// eval answers tasks by likelihood, with or without a text, and measures the sensitivity to each part.
func TestEvalTasksAndSensitivity(t *testing.T) {
	dir := t.TempDir()
	model, cache := filepath.Join(dir, "tiny.gguf"), filepath.Join(dir, "cache")
	if err := tinymodel.Write(model, tinymodel.Options{FFN: []int{128, 128}}); err != nil {
		t.Fatal(err)
	}
	tasks, err := filepath.Abs("testdata/tasks.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"eval", "--model", model, "--cache-dir", cache, "--calibration-tokens", "512", "--json"}
	var report struct {
		Variants []map[string]any
	}
	r := program.Command(t, program.ColdLimit, append(args, "--tasks", tasks, "--ratios", "0,0.2")...)
	if err := json.Unmarshal([]byte(r.Stdout), &report); err != nil || r.Status != 0 || len(report.Variants) != 2 {
		t.Fatalf("eval --tasks: status %d, %v\n%s%s", r.Status, err, r.Stdout, r.Stderr)
	}
	for _, v := range report.Variants {
		figures, ok := v["tasks"].(map[string]any)
		if accuracy, _ := figures["accuracy"].(float64); !ok || figures["tasks"] != 16.0 || accuracy < 0 || accuracy > 1 || v["perplexity"] != nil {
			t.Errorf("variant = %v, want 16 tasks and no perplexity", v)
		}
	}
	text := filepath.Join(dir, "text.txt")
	if err := os.WriteFile(text, []byte(strings.Repeat("the bear said hello in 1999, and the miller carries the sacks. ", 40)), 0o600); err != nil {
		t.Fatal(err)
	}
	plot := filepath.Join(dir, "plot.html")
	r = program.Command(t, program.ColdLimit, append(args, "--text", text, "--window", "64", "--windows", "2", "--sensitivity", "-o", plot)...)
	var parts struct {
		Layers []struct {
			Neurons, Heads float64
			NeuronKL       float64 `json:"neurons_kl"`
			HeadKL         float64 `json:"heads_kl"`
		}
	}
	if err := json.Unmarshal([]byte(r.Stdout), &parts); err != nil || r.Status != 0 || len(parts.Layers) != 2 || !(parts.Layers[0].NeuronKL > 0 && parts.Layers[1].HeadKL > 0) {
		t.Fatalf("eval --sensitivity: status %d, %v\n%s%s", r.Status, err, r.Stdout, r.Stderr)
	}
	page, err := os.ReadFile(plot)
	if err != nil || !strings.Contains(string(page), "echarts.init") || strings.Contains(string(page), "<script src") {
		t.Errorf("the plot holds %d bytes, %v", len(page), err)
	}
	left, err := filepath.Glob(filepath.Join(cache, "sensitivity-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	program.CheckRefused(t, "--text", "eval", "--model", model)
	bad := filepath.Join(dir, "bad.jsonl")
	if err := os.WriteFile(bad, []byte(`{"context": 1}`), 0o600); err != nil {
		t.Fatal(err)
	}
	program.CheckRefused(t, "bad.jsonl", "eval", "--model", model, "--tasks", bad, "--cache-dir", cache)
}
