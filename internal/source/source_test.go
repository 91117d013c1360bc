package source_test

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"prunellm/convert/hffolder"
	"prunellm/internal/source"
	"prunellm/internal/tinymodel"
	"prunellm/models"
	"prunellm/models/gguf"
	"prunellm/models/hub"
)

// tinyFolder writes a tiny model as a safetensors folder.
func tinyFolder(t *testing.T, seed uint64) string {
	t.Helper()
	model := tinymodel.Open(t, tinymodel.Options{Seed: seed})
	folder := filepath.Join(t.TempDir(), "My-Model")
	if err := hffolder.FromGGUF(t.Context(), model, folder, hffolder.Options{Type: gguf.F32}); err != nil {
		t.Fatal(err)
	}
	return folder
}

func served(t *testing.T, path string) string {
	t.Helper()
	model, err := models.OpenGGUF(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer model.Close()
	return model.ServedName()
}

// Resolve converts a folder once, and again when a file of it changes.
func TestFolder(t *testing.T) {
	folder, options := tinyFolder(t, 1), source.Options{CacheDir: t.TempDir()}
	first, err := source.Resolve(t.Context(), folder, options)
	if err != nil {
		t.Fatal(err)
	}
	if name := served(t, first.Path); name != "my-model" || first.Folder != folder {
		t.Errorf("served as %q from %q, want my-model from %q", name, first.Folder, folder)
	}
	before, err := os.Stat(first.Path)
	if err != nil {
		t.Fatal(err)
	}
	second, err := source.Resolve(t.Context(), folder, options)
	after, statErr := os.Stat(second.Path)
	if err != nil || statErr != nil || second != first || !os.SameFile(before, after) {
		t.Errorf("the second call gives %+v, %v, %v: converted again", second, err, statErr)
	}
	if err := os.WriteFile(filepath.Join(folder, "chat_template.jinja"), []byte("changed"), 0o600); err != nil {
		t.Fatal(err)
	}
	third, err := source.Resolve(t.Context(), folder, options)
	if err != nil || third.Path == first.Path {
		t.Errorf("a changed folder gives %+v, %v: not converted again", third, err)
	}
}

func TestRefused(t *testing.T) {
	options := source.Options{CacheDir: t.TempDir(), Home: t.TempDir()}
	if _, err := source.Resolve(t.Context(), t.TempDir(), options); err == nil || !strings.Contains(err.Error(), "config.json") {
		t.Errorf("an empty folder gives %v", err)
	}
	broken := tinyFolder(t, 1)
	if err := os.Truncate(filepath.Join(broken, "model.safetensors"), 1000); err != nil {
		t.Fatal(err)
	}
	if _, err := source.Resolve(t.Context(), broken, options); err == nil {
		t.Error("a truncated folder is accepted")
	}
	for _, ref := range []string{"", "none.gguf", "hf:x", "default"} {
		if _, err := source.Resolve(t.Context(), ref, options); err == nil {
			t.Errorf("%q is taken", ref)
		}
	}
}

// Resolve downloads a repository with a safetensors folder and converts it.
func TestHub(t *testing.T) {
	folder := tinyFolder(t, 2)
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	commit := strings.Repeat("ab", 20)
	var siblings []any
	for _, entry := range entries {
		data, err := os.ReadFile(filepath.Join(folder, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		siblings = append(siblings, map[string]any{"rfilename": entry.Name(), "lfs": map[string]any{"sha256": fmt.Sprintf("%x", sha256.Sum256(data)), "size": len(data)}})
	}
	files := http.StripPrefix("/o/Tiny-Folder/resolve/"+commit, http.FileServer(http.Dir(folder)))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api/models/o/Tiny-Folder/revision/main" {
			_ = json.NewEncoder(w).Encode(map[string]any{"sha": commit, "siblings": siblings})
			return
		}
		files.ServeHTTP(w, r)
	}))
	defer server.Close()
	got, err := source.Resolve(t.Context(), "hf:o/Tiny-Folder", source.Options{CacheDir: t.TempDir(), Hub: hub.Options{URL: server.URL}})
	if err != nil {
		t.Fatal(err)
	}
	if name := served(t, got.Path); name != "tiny-folder" {
		t.Errorf("served as %q, want tiny-folder", name)
	}
	var status *hub.StatusError
	if _, err := source.Resolve(t.Context(), "hf:o/other", source.Options{CacheDir: t.TempDir(), Hub: hub.Options{URL: server.URL}}); !errors.As(err, &status) {
		t.Errorf("a missing repository gives %v", err)
	}
}
