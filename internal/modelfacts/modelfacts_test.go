package modelfacts

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"prunellm/internal/tinymodel"
	"prunellm/models"
	"prunellm/models/gguf"
	"prunellm/server"
)

func TestOf(t *testing.T) {
	path := filepath.Join(t.TempDir(), "Tiny.Q4_K_M.gguf")
	options := tinymodel.Options{Layers: 3, Context: 300, Keys: []gguf.KV{{Key: "general.file_type", Value: uint32(15)}}}
	if err := tinymodel.Write(path, options); err != nil {
		t.Fatal(err)
	}
	model, err := models.OpenGGUF(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer model.Close()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	want := server.Facts{
		File: "Tiny.Q4_K_M.gguf", Architecture: "llama", FileType: "q4_k_m", Bytes: info.Size(), Parameters: options.Config().Parameters(nil),
		Vocabulary: options.Config().VocabSize, HiddenSize: 64, Layers: 3, TrainedContext: 300,
	}
	for _, kept := range []string{"keep", ""} {
		if diff := cmp.Diff(want, Of(model, kept)); diff != "" {
			t.Errorf("facts with the file type %q (-want +got):\n%s", kept, diff)
		}
	}
	if got := Of(model, "Q8_0").FileType; got != "q8_0" {
		t.Errorf("variants of type Q8_0 have %q", got)
	}
}
