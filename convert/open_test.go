package convert_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"testing"

	"prunellm/internal/tinymodel"
	"prunellm/models"
	"prunellm/models/gguf"
)

// open opens a model of plain floats.
func open(t testing.TB, path string) *models.GGUF {
	t.Helper()
	return openWith(t, path, nil)
}

func openWith(t testing.TB, path string, dequantize models.Dequantizer) *models.GGUF {
	t.Helper()
	model, err := models.OpenGGUF(path, dequantize)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { model.Close() })
	return model
}

func tiny(t testing.TB, options tinymodel.Options) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tiny.gguf")
	if err := tinymodel.Write(path, options); err != nil {
		t.Fatal(err)
	}
	return path
}

func tensorBytes(t testing.TB, f *gguf.File, name string) []byte {
	t.Helper()
	info, ok := f.Tensor(name)
	if !ok {
		t.Fatalf("no tensor %q", name)
	}
	raw, err := f.ReadTensor(info)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func sameTensors(t *testing.T, a, b *gguf.File) {
	t.Helper()
	if len(a.Tensors) != len(b.Tensors) {
		t.Fatalf("%d and %d tensors", len(a.Tensors), len(b.Tensors))
	}
	for i, info := range a.Tensors {
		if other := b.Tensors[i]; other.Name != info.Name || other.Type != info.Type || other.Offset != info.Offset {
			t.Errorf("tensor %d is %+v and %+v", i, info, other)
		}
		if !bytes.Equal(tensorBytes(t, a, info.Name), tensorBytes(t, b, info.Name)) {
			t.Errorf("tensor %q differs", info.Name)
		}
	}
}

func fileDigest(t testing.TB, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
