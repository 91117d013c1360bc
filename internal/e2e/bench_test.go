package e2e

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"prunellm/internal/e2e/program"
	"prunellm/internal/tinymodel"
)

// benchReport has the fields of bench --json that the tests read.
type benchReport struct {
	Results []struct {
		Label            string   `json:"label"`
		Ratio            *float64 `json:"ratio"`
		Completed        int      `json:"completed"`
		Failed           int      `json:"failed"`
		OutputTokens     int      `json:"total_output_tokens"`
		OutputThroughput float64  `json:"output_throughput"`
		TTFT             float64  `json:"p50_ttft_ms"`
		ITL              float64  `json:"p99_itl_ms"`
		E2E              float64  `json:"p95_e2el_ms"`
		Bytes            int64    `json:"bytes"`
		Memory           int64    `json:"memory_bytes"`
		Ratios           map[string]struct{ Median, Low, High float64 }
	} `json:"results"`
}

// One command prunes, starts a server for each ratio, measures both and writes both reports. It leaves no process or file
// behind.
func TestBenchRatios(t *testing.T) {
	dir := t.TempDir()
	model, figures, page := filepath.Join(dir, "tiny.gguf"), filepath.Join(dir, "b.json"), filepath.Join(dir, "b.html")
	if err := tinymodel.Write(model, tinymodel.Options{FFN: []int{128, 128}}); err != nil {
		t.Fatal(err)
	}
	r := program.Command(t, program.ColdLimit, "bench", "--model", model, "--ratios", "0,0.2", "--cache-dir", filepath.Join(dir, "cache"), "--calibration-tokens", "1024",
		"--ctx", "256", "--streams", "2", "--rates", "20", "--rounds", "2", "--requests", "3", "--prompt-words", "3-9", "--answer-tokens", "5", "--slo-ttft", "1m",
		"--json", figures, "--html", page)
	if r.Status != 0 {
		t.Fatalf("bench: status %d\n%s", r.Status, r.Stderr)
	}
	if !strings.Contains(r.Stdout, "tiny@0.2") || !strings.Contains(r.Stdout, "20 requests/s") {
		t.Errorf("table lacks a target or a load:\n%s", r.Stdout)
	}
	data, err := os.ReadFile(figures)
	if err != nil {
		t.Fatal(err)
	}
	var report benchReport
	if err := json.Unmarshal(data, &report); err != nil || len(report.Results) != 4 {
		t.Fatalf("report: %v, %d results, want 2 loads x 2 ratios", err, len(report.Results))
	}
	for i, x := range report.Results {
		if x.Completed != 6 || x.Failed != 0 || x.OutputTokens != 30 || !(x.OutputThroughput > 0 && x.TTFT > 0 && x.E2E > x.ITL) {
			t.Errorf("result %d = %+v, want 6 answers of 5 tokens", i, x)
		}
		if want := []float64{0, 0.2}[i%2]; x.Ratio == nil || *x.Ratio != want {
			t.Errorf("result %d has ratio %v, want %v", i, x.Ratio, want)
		}
	}
	if dense, slim := report.Results[0], report.Results[1]; slim.Bytes >= dense.Bytes || slim.Ratios["output_throughput"].Median <= 0 || dense.Memory == 0 {
		t.Errorf("dense %+v and pruned %+v, want a smaller file, a ratio and memory", dense, slim)
	}
	if text, err := os.ReadFile(page); err != nil || !strings.Contains(string(text), "Quality against speed") {
		t.Errorf("page: %v, %d bytes, want the chart of quality against speed", err, len(text))
	}
}

// bench can measure running servers, with their own model's name and a key.
func TestBenchURL(t *testing.T) {
	dir := t.TempDir()
	model, keys := filepath.Join(dir, "tiny.gguf"), filepath.Join(dir, "keys")
	if err := tinymodel.Write(model, tinymodel.Options{}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(keys, []byte("secret-key-of-the-test\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := program.Start(t, "--model", model, "--ratio", "0", "--cache-dir", filepath.Join(dir, "cache"), "--ctx", "256", "--api-key-file", keys)
	s.WaitReady(program.WarmLimit)
	run := func(args ...string) program.Result {
		return program.Command(t, program.WarmLimit, append([]string{"bench", "--requests", "2", "--rounds", "1", "--streams", "2", "--prompt-words", "4", "--answer-tokens", "4",
			"--api-key-file", keys, "--json", "-"}, args...)...)
	}
	r := run("--url", "one="+s.Base, "--url", "two="+s.Base+"/v1")
	var report benchReport
	if err := json.Unmarshal([]byte(r.Stdout), &report); err != nil || r.Status != 0 || len(report.Results) != 2 {
		t.Fatalf("bench: status %d, %v\n%s%s", r.Status, err, r.Stdout, r.Stderr)
	}
	for i, label := range []string{"one", "two"} {
		if x := report.Results[i]; x.Label != label || x.Completed != 2 || x.Ratio != nil {
			t.Errorf("result %d = %+v, want %s", i, x, label)
		}
	}
	if strings.Contains(r.Stdout+r.Stderr, "secret-key") {
		t.Error("the key is in the output")
	}
	if r := run("--url", s.Base, "--request-model", "gpt-9"); r.Status != 1 || !strings.Contains(r.Stderr, "404") {
		t.Errorf("unknown model: status %d, %q, want 1 and the server's 404", r.Status, r.Stderr)
	}
}

// An error of a run is one line.
func TestBenchRefuses(t *testing.T) {
	hostile := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) }))
	defer hostile.Close()
	for mention, args := range map[string][]string{
		"--streams":       {"--streams", "0"},
		"--rates":         {"--rates", "-1"},
		"--ratio":         {"--ratios", "1.5"},
		"twice":           {"--ratios", "0.2,0,0.20"},
		"--prompt-words":  {"--prompt-words", "many"},
		"--answer-tokens": {"--answer-tokens", "9-5"},
		"--url":           {"--url", "ftp://x"},
		"--request-model": {"--url", hostile.URL},
		"127.0.0.1:1":     {"--url", "http://127.0.0.1:1"},
		"missing.gguf":    {"--model", "missing.gguf"},
	} {
		t.Run(mention, func(t *testing.T) { program.CheckRefused(t, mention, append([]string{"bench"}, args...)...) })
	}
}
