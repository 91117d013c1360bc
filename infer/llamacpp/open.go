package llamacpp

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/ollama/ollama/llama"
	"github.com/ollama/ollama/ml"

	"prunellm/infer"
	"prunellm/internal/machine"
)

// Limits of Options.
const (
	maxSequences = 64      // llama.cpp's LLAMA_MAX_SEQ
	maxThreads   = 512     // ggml's GGML_MAX_N_THREADS
	MaxContext   = 1 << 24 // tokens of all sequences together
	maxBatch     = 1 << 14 // entries
	cachePadding = 256     // llama.cpp rounds a sequence's cache up to this
	defaultBatch = 512
	gpuBatch     = 2048 // a GPU takes as long for a few hundred tokens as for one
)

// Options configures Open. A field's zero value selects its default.
type Options struct {
	ContextSize  int          // tokens of one sequence, prompt and answer together; default: the model's trained context, at most 4096
	Sequences    int          // sequences at the same time; default 1
	BatchSize    int          // entries of one Decode; default 512, or 2048 if GPUs have all layers and enough memory
	Threads      int          // threads of Decode; default: the cores this process may use
	BatchThreads int          // threads for more than one token; default Threads
	GPULayers    int          // layers on GPUs, where the head counts as one, but no more than fit; negative: as many as fit
	Log          *slog.Logger // llama.cpp's own lines at debug level; default: none
}

// Open loads a GGUF file and creates a context for it. If the machine lacks the memory for both, it returns an error with the
// sizes. If a GPU lacks the memory, it gets fewer layers or none, and Open logs that once. ctx can end Open only between
// its two parts, the model and the context.
func Open(ctx context.Context, path string, opts Options) (*Model, error) {
	anyBatch := opts.BatchSize == 0
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("open model %q: %w", path, err)
	}
	shape, err := readShape(path)
	if err != nil {
		return nil, fmt.Errorf("open model %q: %w", path, err)
	}
	if opts.ContextSize == 0 {
		opts.ContextSize = min(shape.trained, defaultContext)
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("open model %q: %w", path, err)
	}
	setLogger(opts.Log)
	initBackend()
	if untrusted != nil {
		return nil, fmt.Errorf("open model %q: %w", path, untrusted)
	}
	takeError() // drop earlier log lines, which do not explain a failure of this file
	var devices []Device
	if opts.GPULayers != 0 {
		devices = Devices()
	}
	wanted, all := shape.wantedLayers(opts.GPULayers), shape.wantedLayers(-1)
	asked := opts
	layers := shape.fittingLayers(asked, devices, wanted)
	// llama.cpp uses the memory of a GPU even if it has no layers, for long batches. Open disables GPUs that have too little.
	withoutGPUs := layers == 0 && len(devices) > 0
	for {
		opts = asked
		if layers == all {
			opts = shape.allOnDevice(asked, anyBatch, devices)
		}
		opts.GPULayers = layers
		if err := checkMemory(shape, opts, machine.AvailableMemory); err != nil {
			return nil, fmt.Errorf("open model %q: %w", path, err)
		}
		m := &Model{sequences: opts.Sequences, batchSize: opts.BatchSize, decoded: make(chan error, 1), gpuLayers: layers, onDevice: layers == all,
			batchExact: !shape.inexact && layers == 0 && (withoutGPUs || len(llama.EnumerateGPUs()) == 0)}
		err := m.load(ctx, path, opts, shape, withoutGPUs)
		if err == nil {
			if layers < wanted && len(devices) > 0 {
				warnOfFewLayers(opts.Log, path, layers, wanted, devices)
			}
			return m, nil
		}
		cause := takeError()
		m.release()
		m.closed = true
		if ctx.Err() != nil || withoutGPUs || layers == 0 && len(Devices()) == 0 {
			return nil, fmt.Errorf("open model %q: %w%s", path, err, cause)
		}
		layers /= 2
		withoutGPUs = layers == 0
	}
}

// load loads the model and creates its context. withoutGPUs disables GPUs for all purposes.
func (m *Model) load(ctx context.Context, path string, opts Options, s shape, withoutGPUs bool) error {
	params := llama.ModelParams{NumGpuLayers: opts.GPULayers, UseMmap: true}
	if withoutGPUs {
		params.Devices = processors()
	}
	flash := ml.FlashAttentionEnabled
	if opts.GPULayers > 0 {
		flash = ml.FlashAttentionAuto // not every GPU supports every head size
	}
	var err error
	if m.model, err = llama.LoadModelFromFile(path, params); err != nil {
		return fmt.Errorf("load weights: llama.cpp refused the file")
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if !causalDecoder(rawModel(m.model)) {
		return fmt.Errorf("the architecture is not a causal decoder with a key-value cache")
	}
	m.vocab = loadVocabulary(modelVocab(rawModel(m.model)), s.given)
	if len(m.vocab.ends) == 0 {
		return fmt.Errorf("the model has no vocabulary")
	}
	m.paired = s.floats && opts.GPULayers == 0
	spare := 0 // cells of a sequence and entries of a batch beyond the callers' limits
	if m.paired {
		spare = 1
	}
	perSequence := pad(opts.ContextSize + spare)
	batch := opts.BatchSize + spare*opts.Sequences
	if m.onDevice {
		batch += opts.BatchSize / tailShare
	}
	settings := llama.NewContextParams(perSequence*opts.Sequences, batch, opts.Sequences, opts.Threads, flash, "f16")
	holdingBackends(func() { m.context, err = llama.NewContextWithModel(m.model, settings) })
	if err != nil {
		return fmt.Errorf("create a context of %d x %d tokens: llama.cpp refused", opts.Sequences, perSequence)
	}
	c := rawContext(m.context)
	wantHidden(c, false)
	m.hiddenSize = hiddenSize(rawModel(m.model))
	setThreads(c, opts.Threads, opts.BatchThreads)
	// llama.cpp may have changed the sizes: a batch above its own ends the process.
	batch = min(batch, largestBatch(c))
	m.contextSize = min(opts.ContextSize, sequenceContext(c)-spare)
	m.batchRoom = batch
	m.batchSize = min(opts.BatchSize, batch-spare*opts.Sequences)
	if m.batchSize < opts.Sequences {
		return fmt.Errorf("a context of %d tokens is too small for %d sequences", opts.ContextSize, opts.Sequences)
	}
	m.lengths, m.last = make([]int, opts.Sequences), make([]int, opts.Sequences)
	m.counts, m.extra = make([]int, opts.Sequences), make([]int, opts.Sequences)
	m.rows = make([]int, 0, m.batchSize)
	if m.batch, err = llama.NewBatch(batch, 1, 0); err != nil {
		return fmt.Errorf("create a batch of %d tokens: %w", batch, err)
	}
	return nil
}

func (o Options) withDefaults() (Options, error) {
	for _, field := range []struct {
		name     string
		value    *int
		fallback int
		max      int
	}{
		{"sequences", &o.Sequences, 1, maxSequences},
		{"batch_size", &o.BatchSize, defaultBatch, maxBatch},
		{"threads", &o.Threads, min(machine.Cores(), maxThreads), maxThreads},
	} {
		if *field.value == 0 {
			*field.value = field.fallback
		}
		if *field.value < 1 || *field.value > field.max {
			return o, &infer.ParameterError{Field: field.name, Reason: fmt.Sprintf("%d, must be 1 to %d", *field.value, field.max)}
		}
	}
	if o.BatchThreads == 0 {
		o.BatchThreads = o.Threads
	}
	if o.BatchThreads < 1 || o.BatchThreads > maxThreads {
		return o, &infer.ParameterError{Field: "batch_threads", Reason: fmt.Sprintf("%d, must be 1 to %d", o.BatchThreads, maxThreads)}
	}
	if o.ContextSize < 0 || o.ContextSize > MaxContext/o.Sequences {
		return o, &infer.ParameterError{Field: "context_size", Reason: fmt.Sprintf("%d, must be 1 to %d for %d sequences", o.ContextSize, MaxContext/o.Sequences, o.Sequences)}
	}
	// With a batch of at least Sequences entries, each sequence can decode in every step.
	o.BatchSize = max(o.BatchSize, o.Sequences)
	return o, nil
}

func pad(tokens int) int { return (tokens + cachePadding - 1) / cachePadding * cachePadding }
