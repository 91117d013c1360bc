package hffolder

import (
	"bytes"
	"path/filepath"
	"slices"
	"testing"

	"prunellm/convert"
	"prunellm/internal/tinymodel"
	"prunellm/models"
	"prunellm/models/arch"
	"prunellm/models/gguf"
)

func TestRotation(t *testing.T) {
	raw := []byte{0, 1, 2, 3, 10, 11, 12, 13}
	pairs := changeLayout(raw, 1, arch.RoPEHalves, 4)
	if want := []byte{0, 2, 1, 3, 10, 12, 11, 13}; !slices.Equal(pairs, want) {
		t.Errorf("in RoPEPairs the rows are %v, want %v", pairs, want)
	}
	if back := changeLayout(pairs, 1, arch.RoPEPairs, 4); !slices.Equal(back, raw) {
		t.Errorf("back in RoPEHalves the rows are %v, want %v", back, raw)
	}
}

// Matrices and biases of q and k come back from a folder in the order of the GGUF file. Pruning this Qwen 2 model to
// different widths writes it as an architecture that stores q and k in RoPEPairs and has biases.
func TestRotatedTensorsComeBack(t *testing.T) {
	dense := tinymodel.Open(t, tinymodel.Options{Architecture: "qwen2"})
	slim := filepath.Join(t.TempDir(), "slim.gguf")
	kept := [][]int{make([]int, 64), make([]int, 32)}
	for _, neurons := range kept {
		for i := range neurons {
			neurons[i] = i
		}
	}
	if _, err := convert.Slim(t.Context(), dense, slim, convert.Options{Kept: kept}); err != nil {
		t.Fatal(err)
	}
	model, err := models.OpenGGUF(slim, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = model.Close() }()
	c := model.Config()
	if c.RoPELayout != arch.RoPEPairs || !c.AttentionBias {
		t.Fatalf("layout %d, biases %t: the model does not have what this test needs", c.RoPELayout, c.AttentionBias)
	}
	folder := filepath.Join(t.TempDir(), "folder")
	if err := FromGGUF(t.Context(), model, folder, Options{Type: gguf.F32}); err != nil {
		t.Fatal(err)
	}
	weights, err := openShards(folder)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = weights.Close() }()
	for _, slot := range c.Slots() {
		info, _ := model.TensorInfo(slot)
		want, err := model.File().ReadTensor(info)
		if err != nil {
			t.Fatal(err)
		}
		var got bytes.Buffer
		if err := weights.source(c, slot).Write(t.Context(), &got); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Bytes(), want) {
			t.Errorf("tensor %s changed", slot.Name())
		}
	}
}
