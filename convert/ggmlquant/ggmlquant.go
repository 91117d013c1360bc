package ggmlquant

import (
	"fmt"
	"math"
	"runtime"
	"sync"

	fsggml "github.com/ollama/ollama/fs/ggml"
	"github.com/ollama/ollama/ml/backend/ggml"

	"prunellm/models/gguf"
)

// maxMagnitude bounds the values that Quantize accepts: block scales are float16.
const maxMagnitude = 65504

// chunkValues is the number of values that a thread converts per call. Smaller inputs are not worth a second thread.
const chunkValues = 1 << 18

// Dequantize decodes the bytes of n values of the given type to float32[n]. It accepts F32, F16, BF16, the Q4, Q5 and Q8_0
// types, the K types and MXFP4.
func Dequantize(kind gguf.Type, raw []byte, n int) ([]float32, error) {
	size, err := kind.Size(int64(n))
	switch {
	case err != nil:
		return nil, fmt.Errorf("dequantize: %w", err)
	case size != int64(len(raw)):
		return nil, fmt.Errorf("dequantize: %d bytes for %d values of type %s; %d are needed", len(raw), n, kind, size)
	case n == 0:
		return []float32{}, nil
	case kind == gguf.F32:
		return gguf.DecodeFloats(kind, raw, n)
	case !convertible(kind):
		return nil, fmt.Errorf("dequantize: type %s is not supported", kind)
	}
	if n <= 2*chunkValues {
		return ggml.ConvertToF32(raw, uint32(kind), uint64(n)), nil
	}
	out := make([]float32, n)
	step := chunkValues // a multiple of every block size
	parallel((n+step-1)/step, func(i int) {
		from, to := i*step, min((i+1)*step, n)
		begin, _ := kind.Size(int64(from))
		end, _ := kind.Size(int64(to))
		copy(out[from:to], ggml.ConvertToF32(raw[begin:end], uint32(kind), uint64(to-from)))
	})
	return out, nil
}

// convertible reports whether ggml's ConvertToF32 knows the type. ConvertToF32 panics on any other.
func convertible(kind gguf.Type) bool {
	switch kind {
	case gguf.F16, gguf.BF16, gguf.Q4_0, gguf.Q4_1, gguf.Q5_0, gguf.Q5_1, gguf.Q8_0, gguf.MXFP4,
		gguf.Q2_K, gguf.Q3_K, gguf.Q4_K, gguf.Q5_K, gguf.Q6_K:
		return true
	}
	return false
}

// Quantize encodes float32[rows, rowLen] as bytes of the given type. Blocks do not cross rows, so rowLen must be a
// multiple of the type's block size. Values must be finite. For all types but F32 and BF16 their magnitude must not
// exceed 65504.
func Quantize(kind gguf.Type, values []float32, rowLen int) ([]byte, error) {
	if kind != gguf.F32 && !convertible(kind) {
		return nil, fmt.Errorf("quantize: type %s is not supported", kind)
	}
	if rowLen <= 0 || len(values)%rowLen != 0 {
		return nil, fmt.Errorf("quantize: %d values do not fill rows of %d", len(values), rowLen)
	}
	rowBytes, err := kind.Size(int64(rowLen))
	if err != nil {
		return nil, fmt.Errorf("quantize: a row of %w", err)
	}
	limit := float32(maxMagnitude)
	if kind == gguf.F32 || kind == gguf.BF16 {
		limit = math.MaxFloat32
	}
	rows := len(values) / rowLen
	out := make([]byte, int64(rows)*rowBytes)
	step := max(1, chunkValues/rowLen)
	var failure onceError
	parallel((rows+step-1)/step, func(i int) {
		from, to := i*step, min((i+1)*step, rows)
		failure.set(quantizeRows(out[int64(from)*rowBytes:int64(to)*rowBytes], kind, values[from*rowLen:to*rowLen], rowLen, limit))
	})
	return out, failure.err
}

func quantizeRows(out []byte, kind gguf.Type, values []float32, rowLen int, limit float32) error {
	for i, v := range values {
		if !(v <= limit && v >= -limit) {
			return fmt.Errorf("quantize: value %d of a row is %g, which %s cannot hold", i%rowLen, v, kind)
		}
	}
	if kind == gguf.F32 {
		raw, err := gguf.EncodeFloats(kind, values)
		copy(out, raw)
		return err
	}
	raw := ggml.Quantize(fsggml.TensorType(kind), values, []uint64{uint64(rowLen), uint64(len(values) / rowLen)})
	if len(raw) != len(out) {
		return fmt.Errorf("quantize: ggml made %d bytes of type %s instead of %d", len(raw), kind, len(out))
	}
	copy(out, raw)
	return nil
}

// onceError keeps the first error of several goroutines.
type onceError struct {
	mu  sync.Mutex
	err error
}

func (o *onceError) set(err error) {
	if err == nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err == nil {
		o.err = err
	}
}

// parallel calls work(0) to work(n-1), on several threads if n > 1.
func parallel(n int, work func(i int)) {
	if n == 1 {
		work(0)
		return
	}
	var group sync.WaitGroup
	next := make(chan int) // unbuffered: the next idle thread receives the call
	for range min(n, runtime.GOMAXPROCS(0)) {
		group.Go(func() {
			for i := range next {
				work(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	group.Wait()
}
