package tinymodel

import (
	"path/filepath"
	"testing"

	"prunellm/models"
)

// Open writes the model to a temporary folder and opens it until the end of the test.
func Open(t testing.TB, o Options) *models.GGUF {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tiny.gguf")
	if err := Write(path, o); err != nil {
		t.Fatal(err)
	}
	model, err := models.OpenGGUF(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = model.Close() })
	return model
}
