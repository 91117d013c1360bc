package main

import (
	"path/filepath"
	"strings"
	"testing"

	"prunellm/internal/tinymodel"
	"prunellm/models"
	"prunellm/models/gguf"
	"prunellm/openapi"
)

// A flag comes before the model's recommendation, and that before the built-in default.
func TestSamplingOrder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.gguf")
	if err := tinymodel.Write(path, tinymodel.Options{Keys: []gguf.KV{
		{Key: "general.sampling.temp", Value: float32(0.6)}, {Key: "general.sampling.top_k", Value: int32(20)},
		{Key: "general.sampling.top_p", Value: float32(9)}, // no request could ask for it
	}}); err != nil {
		t.Fatal(err)
	}
	model, err := models.OpenGGUF(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer model.Close()
	temperature := 0.3
	got := samplingFlags{Temp: &temperature}.sampling(model)
	if want := (openapi.Sampling{Temperature: 0.3, TopP: 0.95, TopK: 20, MinP: 0.05, RepetitionPenalty: 1}); got != want {
		t.Errorf("sampling is %+v, want %+v", got, want)
	}
}

func TestSamplingFlagsOutOfBounds(t *testing.T) {
	large, half := 2.5, 0.5
	err := samplingFlags{Temp: &large, TopK: &half, MinP: &half}.Validate()
	if err == nil || !strings.Contains(err.Error(), "--temp is 2.5 but must be 0 to 2") || !strings.Contains(err.Error(), "--top-k is 0.5 but must be a whole number from -1 to 2147483647") || strings.Contains(err.Error(), "min-p") {
		t.Errorf("Validate() = %v, want faults of --temp and --top-k alone", err)
	}
}
