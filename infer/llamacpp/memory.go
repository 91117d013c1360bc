package llamacpp

import (
	"fmt"
	"math"
)

// MemoryError says that a model with its context, less what lies on GPUs, does not fit the memory of the machine or of its control group.
type MemoryError struct {
	Model, Cache, Compute, Available int64 // bytes
	ContextSize, Sequences           int
}

// Error implements error.
func (e *MemoryError) Error() string {
	const mib = 1 << 20
	return fmt.Sprintf("needs %d MiB (model %d, cache of %d x %d tokens %d, working memory %d) and %d MiB are available: lower the context size or the number of sequences",
		(e.Model+e.Cache+e.Compute)/mib, e.Model/mib, e.Sequences, e.ContextSize, e.Cache/mib, e.Compute/mib, e.Available/mib)
}

// OutOfMemory tells callers that do not know this type what the error means.
func (e *MemoryError) OutOfMemory() bool { return true }

// Need is how many bytes a model and its context take, as Open computes it: the file, the cache, the working memory.
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

// checkMemory compares what the model and its context take with what available reports (bytes; negative: unknown). Layers on a GPU
// are left out.
func checkMemory(s shape, opts Options, available func() int64) error {
	need := memoryNeed(s, opts)
	weights, cache := s.onDevice(opts, opts.GPULayers)
	if opts.GPULayers > len(s.layers) { // embeddings come from here, and logits to here
		if s.tied {
			weights -= s.outputs // the matrix is here as well
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
	// The graph is laid out for a full batch that wants all its logits, beside a few rows of the widest layer; the
	// attention mask has a column for each cell of a sequence; the output buffer holds a row for each sequence.
	batch := int64(opts.BatchSize)
	row := s.vocab + 8*s.hidden + 3*s.widest + int64(pad(opts.ContextSize))
	need.Compute = sum(product(batch, row, f32), product(int64(opts.Sequences), s.vocab, f32))
	return need
}

// product and sum stop at the largest int64.
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
