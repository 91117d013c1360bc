package e2e

import (
	"path/filepath"
	"slices"
	"testing"

	"prunellm/internal/e2e/program"
	"prunellm/internal/tinymodel"
	"prunellm/models/arch"
	"prunellm/models/gguf"
)

// A model of each prunable architecture is pruned with the defaults, and the result answers.
func TestArchitectures(t *testing.T) {
	tests := map[string]tinymodel.Options{
		// Llama 3 has RoPE factors and a separate output matrix; this one also has heads wider than hidden size / heads.
		"llama3": {FFN: []int{128, 128}, Untied: true, HeadDim: 32, RoPEFactors: []float32{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1.5, 2.5, 4, 8, 8, 8}},
	}
	for i, row := range arch.Rows() {
		options := tinymodel.Options{Architecture: row.Name, FFN: []int{128, 128}, Untied: i%2 == 1} // alternately tied and untied
		if row.PerLayer == row.Name {
			options.FFN, options.Type, options.Untied = []int{128, 96}, gguf.F16, false
		}
		tests[row.Name] = options
		if row.WindowEvery > 0 {
			tests[row.Name+" window"] = tinymodel.Options{Architecture: row.Name, Layers: row.WindowEvery, Window: 32, FFN: slices.Repeat([]int{128}, row.WindowEvery)}
		}
	}
	for kind, options := range tests {
		t.Run(kind, func(t *testing.T) {
			dir := t.TempDir()
			model := filepath.Join(dir, kind+".gguf")
			if err := tinymodel.Write(model, options); err != nil {
				t.Fatal(err)
			}
			cache, slim := filepath.Join(dir, "cache"), filepath.Join(dir, "slim.gguf")
			r := program.Command(t, program.ColdLimit, "prune", "--model", model, "--ratio", "0.2", "-o", slim, "--cache-dir", cache, "--calibration-tokens", "512")
			if r.Status != 0 {
				t.Fatalf("prune: status %d\n%s", r.Status, r.Stderr)
			}
			if r := program.Command(t, program.BadInputLimit, "inspect", slim); r.Status != 0 {
				t.Errorf("inspect: status %d\n%s", r.Status, r.Stderr)
			}
			s := program.Start(t, "--model", slim, "--ratio", "0", "--cache-dir", cache, "--ctx", "512")
			s.WaitReady(program.WarmLimit)
			api := program.Client(s.Base)
			params := program.Question("slim")
			response, err := api.Chat.Completions.New(t.Context(), params)
			if err != nil || response.Model != "slim@0" || response.Usage.CompletionTokens < 1 {
				t.Errorf("chat: %v, %+v", err, response)
			}
			s.Stop()
		})
	}
}
