package gguf_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"prunellm/models/gguf"
)

// Write a file and read it back, one tensor at a time.
func Example() {
	dir, err := os.MkdirTemp("", "gguf")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "example.gguf")
	keys := []gguf.KV{{Key: "general.architecture", Value: "llama"}, {Key: "llama.block_count", Value: uint32(2)}}
	norm := gguf.Source{Name: "output_norm.weight", Type: gguf.F32, Shape: []int{3}, Write: func(_ context.Context, w io.Writer) error {
		raw, err := gguf.EncodeFloats(gguf.F32, []float32{1, 0.5, 2})
		if err != nil {
			return err
		}
		_, err = w.Write(raw)
		return err
	}}
	if err := gguf.Write(context.Background(), path, keys, []gguf.Source{norm}); err != nil {
		fmt.Println(err)
		return
	}
	file, err := gguf.Open(path)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer file.Close()
	layers, err := file.Int("llama.block_count")
	fmt.Println(layers, err)
	raw, err := file.ReadTensor(file.Tensors[0])
	fmt.Println(len(raw), err)
	values, err := gguf.DecodeFloats(gguf.F32, raw, 3)
	fmt.Println(values, err)
	// Output:
	// 2 <nil>
	// 12 <nil>
	// [1 0.5 2] <nil>
}
