package llamacpp

import (
	"fmt"
	"math"
)

// MemoryError reports a model that exceeds the memory of the machine or of its control group. It counts the context, but not
// the layers on GPUs.
type MemoryError struct {
	Model, Cache, Compute, Available int64 // bytes
	ContextSize, Sequences           int
}

// Error implements error.
func (e *MemoryError) Error() string {
	const mib = 1 << 20
	return fmt.Sprintf("needs %d MiB (model %d, cache of %d x %d tokens %d, working memory %d) and %d MiB are available; lower the context size or the number of sequences",
		(e.Model+e.Cache+e.Compute)/mib, e.Model/mib, e.Sequences, e.ContextSize, e.Cache/mib, e.Compute/mib, e.Available/mib)
}

// OutOfMemory lets callers recognize the error without this type.
func (e *MemoryError) OutOfMemory() bool { return true }

// Need returns the bytes of a model and its context as Open computes them: the file, the cache, the working memory.
func Need(path string, opts Options) (int64, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return 0, err
	}
	s, err := readShape(path)
	if err != nil {
		return 0, fmt.Errorf("size of model %q: %w", path, err)
	}
	if opts.ContextSize == 0 {
		opts.ContextSize = min(s.trained, defaultContext)
	}
	need := memoryNeed(s, opts)
	return sum(need.Model, need.Cache, need.Compute), nil
}

// checkMemory compares the memory of the model and its context with available's result (bytes; negative: unknown).
// Layers on a GPU do not count.
func checkMemory(s shape, opts Options, available func() int64) error {
	need := memoryNeed(s, opts)
	weights, cache := s.onDevice(opts, opts.GPULayers)
	if opts.GPULayers > len(s.layers) { // all layers and the head are on GPUs: the CPU only looks up embeddings and receives logits
		if s.tied {
			weights -= s.outputs // a tied matrix is on the CPU as well
		}
		need.Compute = sum(product(int64(opts.BatchSize), s.hidden, f32), product(int64(opts.Sequences), s.vocab, f32))
	}
	need.Model, need.Cache = need.Model-weights, need.Cache-cache
	need.Available = available()
	if need.Available >= 0 && sum(need.Model, need.Cache, need.Compute) > need.Available {
		return need
	}
	return nil
}

// Bytes of a number.
const f16, f32 = 2, 4

func memoryNeed(s shape, opts Options) *MemoryError {
	tokens := int64(pad(opts.ContextSize)) * int64(opts.Sequences)
	need := &MemoryError{
		Model:       s.fileBytes,
		Cache:       product(tokens, s.kvWidth, f16),
		ContextSize: opts.ContextSize,
		Sequences:   opts.Sequences,
	}
	// llama.cpp plans the graph for a full batch that needs all its logits, plus a few rows of the widest layer. The attention
	// mask has a column for each cell of a sequence; the output buffer has a row for each sequence.
	batch := int64(opts.BatchSize)
	row := s.vocab + 8*s.hidden + 3*s.widest + int64(pad(opts.ContextSize))
	need.Compute = sum(product(batch, row, f32), product(int64(opts.Sequences), s.vocab, f32))
	return need
}

// product and sum saturate at the largest int64.
func product(factors ...int64) int64 {
	total := int64(1)
	for _, f := range factors {
		if f != 0 && total > math.MaxInt64/f {
			return math.MaxInt64
		}
		total *= f
	}
	return total
}

func sum(terms ...int64) int64 {
	total := int64(0)
	for _, t := range terms {
		if total > math.MaxInt64-t {
			return math.MaxInt64
		}
		total += t
	}
	return total
}
