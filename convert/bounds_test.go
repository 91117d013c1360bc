package convert_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"prunellm/convert"
	"prunellm/internal/tinymodel"
	"prunellm/models"
	"prunellm/models/gguf"
)

// peak runs work and returns by how many bytes the heap grew. It samples the heap, so it can miss a short peak.
func peak(work func()) (bytes uint64) {
	runtime.GC()
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		var stats runtime.MemStats
		for {
			runtime.ReadMemStats(&stats)
			bytes = max(bytes, stats.HeapInuse)
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	}()
	work()
	close(stop)
	<-done
	return bytes
}

// sparse writes a model's metadata and leaves a hole in the file where its tensors would be. The hole takes no space on
// disk.
func sparse(t *testing.T, keys []gguf.KV, tensors []gguf.Source) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sparse.gguf")
	enough := errors.New("the metadata is written")
	var head bytes.Buffer
	size := int64(0)
	for i := range tensors {
		n := int64(1)
		for _, d := range tensors[i].Shape {
			n *= int64(d)
		}
		bytes, err := tensors[i].Type.Size(n)
		if err != nil {
			t.Fatal(err)
		}
		size += (bytes + 31) / 32 * 32
		tensors[i].Write = func(_ context.Context, w io.Writer) error {
			_, err := w.Write(make([]byte, min(bytes, 2<<20))) // pushes the metadata out of the writer's buffer
			return errors.Join(enough, err)
		}
	}
	if err := gguf.Encode(t.Context(), &head, keys, tensors); !errors.Is(err, enough) {
		t.Fatal(err)
	}
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.Write(head.Bytes()); err != nil {
		t.Fatal(err)
	}
	if err := file.Truncate(int64(head.Len()) + size); err != nil {
		t.Skip("the file system cannot hold a file of this size: ", err)
	}
	return path
}

// Inspecting a hostile file may take at most 20 seconds and 1 GiB. The test allows less.
func TestInspectIsBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	many := make([]string, 7<<20) // 8 bytes each in the file, near the limit of the metadata
	tests := map[string]func(t *testing.T) string{
		"strings": func(t *testing.T) string {
			return tiny(t, tinymodel.Options{Keys: []gguf.KV{{Key: "a", Value: many}}})
		},
		"vocabulary": func(t *testing.T) string {
			keys := []gguf.KV{
				{Key: "general.architecture", Value: "llama"}, {Key: "llama.block_count", Value: uint32(1)},
				{Key: "llama.embedding_length", Value: uint32(2)}, {Key: "llama.context_length", Value: uint32(2)},
				{Key: "llama.feed_forward_length", Value: uint32(1)}, {Key: "llama.attention.head_count", Value: uint32(1)},
				{Key: "llama.attention.layer_norm_rms_epsilon", Value: float32(1e-5)},
				{Key: "tokenizer.ggml.model", Value: "gpt2"}, {Key: "tokenizer.ggml.tokens", Value: many[:models.MaxVocab]},
				{Key: "tokenizer.ggml.merges", Value: many[models.MaxVocab:]},
			}
			return sparse(t, keys, []gguf.Source{{Name: "token_embd.weight", Type: gguf.F16, Shape: []int{models.MaxVocab, 2}}})
		},
		"tensors": func(t *testing.T) string {
			var tensors []gguf.Source
			for i := range gguf.MaxTensors {
				tensors = append(tensors, gguf.Source{Name: fmt.Sprintf("t%d", i), Type: gguf.F32, Shape: []int{1}})
			}
			return sparse(t, []gguf.KV{{Key: "general.architecture", Value: "llama"}}, tensors)
		},
		"huge": func(t *testing.T) string {
			config := tinymodel.Options{}.Config()
			config.HiddenSize, config.Heads, config.KVHeads, config.HeadDim, config.RoPEDim = 1<<16, 64, 64, 1<<10, 1<<10
			config.FFN = []int{1 << 19, 1 << 19}
			var tensors []gguf.Source
			for _, slot := range config.Slots() {
				tensors = append(tensors, gguf.Source{Name: slot.Name(), Type: gguf.F32, Shape: config.TensorShape(slot.Role, slot.Layer)})
			}
			base := open(t, tiny(t, tinymodel.Options{}))
			keys := append([]gguf.KV{}, base.File().KVs...)
			for i, kv := range keys {
				switch kv.Key {
				case "llama.embedding_length":
					keys[i].Value = uint32(config.HiddenSize)
				case "llama.attention.head_count", "llama.attention.head_count_kv":
					keys[i].Value = uint32(config.Heads)
				case "llama.attention.key_length", "llama.attention.value_length", "llama.rope.dimension_count":
					keys[i].Value = uint32(config.HeadDim)
				case "llama.feed_forward_length":
					keys[i].Value = uint32(config.FFN[0])
				}
			}
			return sparse(t, keys, tensors)
		},
	}
	for name, path := range tests {
		t.Run(name, func(t *testing.T) {
			file := path(t)
			start := time.Now()
			limit := 15 * time.Second
			if name == "huge" {
				limit = 2 * time.Second // Inspect's own limit would only slow the test down
			}
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			var report *convert.Report
			var faults []convert.Fault
			grown := peak(func() { report, faults = convert.Inspect(ctx, file, nil) })
			t.Logf("%v, %d MiB, %d of %d bytes scanned, faults %.300q", time.Since(start), grown>>20, report.ScannedBytes, report.WeightBytes, faults)
			if name == "huge" && (len(faults) > 0 || report.ScannedBytes == report.WeightBytes) {
				t.Errorf("%q, all %d bytes scanned", faults, report.WeightBytes)
			}
			if grown > 900<<20 || time.Since(start) > time.Minute {
				t.Errorf("Inspect took %d MiB and %v", grown>>20, time.Since(start))
			}
		})
	}
}
