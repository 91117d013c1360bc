//go:build cgo

package sensitivity_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"prunellm/infer"
	"prunellm/infer/llamacpp"
	"prunellm/internal/quality"
	"prunellm/internal/sensitivity"
	"prunellm/internal/tinymodel"
	"prunellm/models"
	"prunellm/models/arch"
	"prunellm/models/gguf"
)

// The removal of each part changes the predictions, and the copy is restored. Removing the least important parts costs less than
// removing the most important ones.
func TestMeasure(t *testing.T) {
	for _, row := range arch.Rows() {
		options := tinymodel.Options{Architecture: row.Name}
		if row.AttentionBias {
			options.Type = gguf.F16
		}
		t.Run(row.Name, func(t *testing.T) { measure(t, options) })
	}
}

func measure(t *testing.T, options tinymodel.Options) {
	dir := t.TempDir()
	original, path := filepath.Join(dir, "model.gguf"), filepath.Join(dir, "copy.gguf")
	if err := tinymodel.Write(original, options); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(original)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, before, 0o600); err != nil {
		t.Fatal(err)
	}
	model, err := models.OpenGGUF(original, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer model.Close()
	open := func(path string) (infer.Decoder, error) {
		return llamacpp.Open(t.Context(), path, llamacpp.Options{ContextSize: 64, BatchSize: 64, Threads: 1})
	}
	whole, err := open(original)
	if err != nil {
		t.Fatal(err)
	}
	defer whole.Close()
	tokens := make([]infer.Token, 128)
	for i := range tokens {
		tokens[i] = infer.Token(3 + i*i%200)
	}
	windows, err := quality.Windows(tokens, 64, 0)
	if err != nil {
		t.Fatal(err)
	}
	config := model.Config()
	rank := func(sign float32) [][]float32 { // by the norm of a neuron's row of up, which tinymodel varies
		scores := make([][]float32, config.Layers)
		for layer := range scores {
			up, shape, err := model.Tensor(models.FFNUp, layer)
			if err != nil {
				t.Fatal(err)
			}
			scores[layer] = make([]float32, shape[0])
			for i, v := range up {
				scores[layer][i/shape[1]] += sign * v * v
			}
		}
		return scores
	}
	run := func(scores [][]float32) []sensitivity.Row {
		steps := 0
		rows, err := sensitivity.Measure(t.Context(), model, path, whole, sensitivity.Options{
			Share: 0.5, Scores: scores, Windows: windows, Open: open, Done: func(int) { steps++ }})
		if err != nil || len(rows) != config.Layers || steps != sensitivity.Steps(config) {
			t.Fatalf("%d rows after %d steps, %v", len(rows), steps, err)
		}
		return rows
	}
	light, heavy := run(rank(1)), run(rank(-1))
	for i := range light {
		if light[i].Neurons != 48 || light[i].Heads != 2 || light[i].HeadWeights != 16*64*2*3 || light[i].NeuronWeights != 3*64*48 {
			t.Errorf("layer %d: %+v, want 48 neurons and 2 query heads", i, light[i])
		}
		if !(light[i].NeuronKL > 1e-6 && heavy[i].NeuronKL > light[i].NeuronKL && light[i].HeadKL > 1e-6) {
			t.Errorf("layer %d: light %g, heavy %g, heads %g", i, light[i].NeuronKL, heavy[i].NeuronKL, light[i].HeadKL)
		}
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the copy is changed: %v", err)
	}
}
