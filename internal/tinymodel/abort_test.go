//go:build cgo

package tinymodel_test

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"prunellm/infer"
	"prunellm/infer/llamacpp"
	"prunellm/internal/tinymodel"
	"prunellm/models"
	"prunellm/models/arch"
)

// FuzzAcceptedFilesDoNotAbort changes a few bytes of a model's metadata. llama.cpp aborts the process on some faults.
// models.OpenGGUF must refuse files with such faults: otherwise the test crashes.
func FuzzAcceptedFilesDoNotAbort(f *testing.F) {
	dir := f.TempDir()
	var originals [][]byte
	for _, row := range arch.Rows() {
		options := tinymodel.Options{Architecture: row.Name, Layers: 1}
		if row.PerLayer == row.Name {
			options.Layers, options.FFN = 2, []int{96, 32}
		}
		all := []tinymodel.Options{options}
		if row.WindowEvery > 0 {
			all = append(all, tinymodel.Options{Architecture: row.Name, Layers: row.WindowEvery, Window: 16, RoPEScale: 2})
		}
		for _, options := range all {
			path := filepath.Join(dir, "original.gguf")
			if err := tinymodel.Write(path, options); err != nil {
				f.Fatal(err)
			}
			data, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			originals = append(originals, data)
		}
	}
	for seed := range uint64(200) {
		f.Add(seed)
	}
	path := filepath.Join(dir, "changed.gguf")
	f.Fuzz(func(t *testing.T, seed uint64) {
		random := rand.New(rand.NewPCG(seed, 1))
		data := append([]byte{}, originals[random.IntN(len(originals))]...)
		for range 1 + random.IntN(3) {
			change(random, data)
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		model, err := models.OpenGGUF(path, nil)
		if err != nil {
			return
		}
		if err := model.Close(); err != nil {
			t.Fatal(err)
		}
		use(t, path)
	})
}

// change changes one byte, usually of the keys before the vocabulary.
func change(random *rand.Rand, data []byte) {
	at := 24 + random.IntN(900)
	if random.IntN(3) == 0 {
		at = 24 + random.IntN(9500)
	}
	switch random.IntN(4) {
	case 0:
		data[at] = byte(random.IntN(256))
	case 1:
		data[at] ^= 1 << random.IntN(8)
	case 2:
		data[at] = byte(random.IntN(13)) // a value type
	case 3:
		data[at]++
	}
}

// use runs a model as the server does. Errors are fine.
func use(t *testing.T, path string) {
	model, err := llamacpp.Open(t.Context(), path, llamacpp.Options{ContextSize: 64, BatchSize: 64, Threads: 1})
	if err != nil {
		return
	}
	defer model.Close()
	for id := range model.VocabSize() {
		model.Piece(infer.Token(id), true)
	}
	tokens, err := model.Tokenize("hello, the 12 bears\n<|im_end|>", true, true)
	if err != nil || len(tokens) == 0 || len(tokens) > 64 {
		return
	}
	entries := make([]infer.Entry, len(tokens))
	for i, token := range tokens {
		entries[i] = infer.Entry{Token: token, Position: i, Logits: i == len(tokens)-1}
	}
	_ = model.Decode(entries)
}
