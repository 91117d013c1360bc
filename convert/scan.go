package convert

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"prunellm/models"
	"prunellm/models/gguf"
)

// weights scans all tensors for NaN and infinity in chunks on all cores. It stops after limit.
func (i *inspection) weights(ctx context.Context, f *gguf.File, dequantize models.Dequantizer, limit time.Duration) {
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	found := make([]error, len(f.Tensors)) // each element is written only by the goroutine that scans the tensor
	var next, scanned atomic.Int64
	var group sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() {
			for t := int(next.Add(1)) - 1; t < len(f.Tensors); t = int(next.Add(1)) - 1 {
				found[t] = scanTensor(limited, f, f.Tensors[t], dequantize, &scanned)
			}
		})
	}
	group.Wait()
	i.report.ScannedBytes = scanned.Load()
	for _, err := range found {
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			i.add("%v", err)
		}
	}
}

func scanTensor(ctx context.Context, f *gguf.File, t gguf.TensorInfo, dequantize models.Dequantizer, scanned *atomic.Int64) error {
	block := int64(t.Type.BlockSize())
	step := max(1, chunkValues/block) * int64(t.Type.TypeSize())
	buffer := make([]byte, min(step, t.Size))
	for from := int64(0); from < t.Size; from += step {
		if err := ctx.Err(); err != nil {
			return err
		}
		raw := buffer[:min(step, t.Size-from)]
		if _, err := io.ReadFull(io.NewSectionReader(f.Data(t), from, int64(len(raw))), raw); err != nil {
			return fmt.Errorf("tensor %q: %w", t.Name, err)
		}
		k, err := firstNonFinite(t.Type, raw, dequantize)
		if err != nil {
			return fmt.Errorf("tensor %q: %w", t.Name, err)
		}
		if k >= 0 {
			return fmt.Errorf("tensor %q: value %d is NaN or infinite", t.Name, from/int64(t.Type.TypeSize())*block+int64(k))
		}
		scanned.Add(int64(len(raw)))
	}
	return nil
}

// firstNonFinite returns the index of the first NaN or infinity among the values, or -1. It decodes as little as
// possible. A plain float is finite unless all bits of its exponent are set. A block of 32 is finite if the float16
// values at its start are.
func firstNonFinite(kind gguf.Type, raw []byte, dequantize models.Dequantizer) (int, error) {
	switch kind {
	case gguf.F32:
		for i := 0; i+4 <= len(raw); i += 4 {
			if binary.LittleEndian.Uint32(raw[i:])&0x7f800000 == 0x7f800000 {
				return i / 4, nil
			}
		}
		return -1, nil
	case gguf.F16, gguf.BF16:
		exponent := uint16(0x7c00)
		if kind == gguf.BF16 {
			exponent = 0x7f80
		}
		for i := 0; i+2 <= len(raw); i += 2 {
			if binary.LittleEndian.Uint16(raw[i:])&exponent == exponent {
				return i / 2, nil
			}
		}
		return -1, nil
	}
	if halves := scaleHalves(kind); halves > 0 {
		return firstNonFiniteScale(raw, kind, halves), nil
	}
	if !models.HoldsWeights(kind) { // only llama.cpp can decode it
		return -1, nil
	}
	values, err := models.DequantizeWith(dequantize, kind, raw, len(raw)/kind.TypeSize()*kind.BlockSize())
	if err != nil {
		return -1, err
	}
	for k, v := range values {
		if v-v != 0 { // NaN or infinity: the difference is NaN
			return k, nil
		}
	}
	return -1, nil
}

// scaleHalves returns the number of float16 values at the start of a block that alone decide whether its values are
// finite. It returns 0 for a type without such blocks.
func scaleHalves(kind gguf.Type) int {
	switch kind {
	case gguf.Q4_0, gguf.Q5_0, gguf.Q8_0: // a scale
		return 1
	case gguf.Q4_1, gguf.Q5_1: // a scale and a minimum
		return 2
	}
	return 0
}

func firstNonFiniteScale(raw []byte, kind gguf.Type, halves int) int {
	const exponent = 0x7c00
	size := kind.TypeSize()
	for block := 0; (block+1)*size <= len(raw); block++ {
		for h := range halves {
			if binary.LittleEndian.Uint16(raw[block*size+2*h:])&exponent == exponent {
				return block * kind.BlockSize()
			}
		}
	}
	return -1
}
