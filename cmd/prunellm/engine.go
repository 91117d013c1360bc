package main

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"prunellm/infer"
	"prunellm/infer/llamacpp"
	"prunellm/internal/catalog"
	"prunellm/internal/flags"
	"prunellm/internal/machine"
	"prunellm/internal/variant"
	"prunellm/models"
	"prunellm/server"
)

// engineFlags configure the engine.
type engineFlags struct {
	Ctx          int    `help:"Context: tokens per request at most, prompt and answer together; not divided by --parallel. 0: the model's trained context, or less if memory is short." default:"0" placeholder:"N"`
	Parallel     int    `help:"Requests that the server answers at the same time." default:"4" placeholder:"N"`
	BatchSize    int    `help:"Tokens per decode step at most; 0: 512, or 2048 if GPUs hold the whole model." default:"0" placeholder:"N"`
	Threads      int    `help:"Threads for decoding; 0: one per core that this process may use." default:"0" placeholder:"N"`
	ThreadsBatch int    `help:"Threads for prefill and batches; 0: as --threads." default:"0" placeholder:"N"`
	GPULayers    string `help:"Layers to run on GPUs, with the head as one layer: 'auto' is as many as fit, N is at most N." default:"auto" placeholder:"auto|N"`
	DraftMax     string `help:"Tokens of an answer at most that are predicted from earlier ones (prompt lookup) and verified in one step; 0: none. 'auto' is 16 if that changes no answer, so not on GPUs." default:"auto" placeholder:"auto|N"`
	PromptCache  int    `help:"MiB of prompt cache for evicted conversations, for each loaded variant; 0: none." default:"128" placeholder:"MIB"`
	MaxQueue     int    `help:"Requests that may wait; the server refuses further ones with 429." default:"256" placeholder:"N"`
}

// Limits of the engine flags.
const (
	minCtx      = 16
	maxCtx      = 1 << 20
	maxParallel = 64
	minBatch    = 32
	maxBatch    = 1 << 14
	maxThreads  = 512
)

// Validate reports every fault at once.
func (f *engineFlags) Validate() error {
	var faults []error
	for _, field := range []struct {
		name            string
		value, min, max int
	}{
		{"parallel", f.Parallel, 1, maxParallel},
		{"threads", f.Threads, 0, maxThreads}, {"threads-batch", f.ThreadsBatch, 0, maxThreads}, {"max-queue", f.MaxQueue, 1, 1 << 16},
		{"prompt-cache", f.PromptCache, 0, 1 << 20},
	} {
		if field.value < field.min || field.value > field.max {
			faults = append(faults, fmt.Errorf("--%s is %d but must be %d to %d", field.name, field.value, field.min, field.max))
		}
	}
	if f.Ctx != 0 && (f.Ctx < minCtx || f.Ctx > maxCtx) {
		faults = append(faults, fmt.Errorf("--ctx is %d but must be 0 or %d to %d", f.Ctx, minCtx, maxCtx))
	}
	if f.BatchSize != 0 && (f.BatchSize < minBatch || f.BatchSize > maxBatch) {
		faults = append(faults, fmt.Errorf("--batch-size is %d but must be 0 or %d to %d", f.BatchSize, minBatch, maxBatch))
	}
	if f.Ctx*f.Parallel > llamacpp.MaxContext {
		faults = append(faults, fmt.Errorf("--ctx is %d and --parallel %d, together %d tokens, but must be at most %d", f.Ctx, f.Parallel, f.Ctx*f.Parallel, llamacpp.MaxContext))
	}
	if _, err := f.gpuLayers(); err != nil {
		faults = append(faults, err)
	}
	if _, err := f.draftMax(false); err != nil {
		faults = append(faults, err)
	}
	return flags.Join(faults)
}

// shareOfMemory divides the available memory. A variant with its default context gets one part. The dense model gets
// another, because both are loaded together, and a job needs about as much.
const shareOfMemory = 3

// fitContext chooses the context length if --ctx is 0, and limits it to the model's trained context. Beyond that,
// answers lose coherence, or the engine computes them differently from the model.
func (f *engineFlags) fitContext(model *models.GGUF, log *slog.Logger) (err error) {
	trained := model.Config().ContextLength
	if f.Ctx > trained {
		log.Warn("--ctx is longer than the model's trained context: using the trained one", "ctx", f.Ctx, "model", trained)
		f.Ctx = max(trained, minCtx)
	}
	if f.Ctx > 0 {
		return nil
	}
	available := machine.AvailableMemory()
	if f.Ctx, err = llamacpp.FitContext(model.Path(), f.options(), max(trained, minCtx), available/shareOfMemory); err != nil {
		return err
	}
	log.Info("context chosen: --ctx sets another", "ctx", f.Ctx, "model", trained, "parallel", f.Parallel, "available_mib", available>>20)
	return nil
}

// allLayers is the number for as many layers on GPUs as fit.
const allLayers = -1

// gpuLayers returns the number of --gpu-layers, or allLayers.
func (f *engineFlags) gpuLayers() (int, error) {
	return flags.AutoOr("gpu-layers", f.GPULayers, allLayers, 1<<16)
}

// Values of --draft-max.
const (
	autoDrafts = 16
	maxDrafts  = 64
)

// draftMax returns the number of --draft-max. exact reports whether logits do not depend on the batch, so that drafts change no
// answer.
func (f *engineFlags) draftMax(exact bool) (int, error) {
	auto := 0
	if exact {
		auto = autoDrafts
	}
	return flags.AutoOr("draft-max", f.DraftMax, auto, maxDrafts)
}

// idleGPU limits the warning to one per process.
var idleGPU sync.Once

// options returns the options of a model's context.
func (f *engineFlags) options() llamacpp.Options {
	return llamacpp.Options{
		ContextSize: f.Ctx, Sequences: f.Parallel, BatchSize: f.BatchSize, Threads: f.Threads, BatchThreads: f.ThreadsBatch,
	}
}

// memory returns the bytes that a loaded variant and its prompt cache take. If llamacpp.Need returns an error, it uses the
// file's size for the model and its context.
func (f *engineFlags) memory(built variant.Built) int64 {
	need, err := llamacpp.Need(built.Path, f.options())
	if err != nil {
		need = built.Bytes
	}
	return need + int64(f.PromptCache)<<20
}

// load opens a variant's file in a new engine.
func (f *engineFlags) load(ctx context.Context, built variant.Built, log *slog.Logger) (catalog.Loaded, error) {
	layers, err := f.gpuLayers()
	if err != nil {
		return catalog.Loaded{}, err
	}
	options := f.options()
	options.GPULayers, options.Log = layers, log
	model, err := llamacpp.Open(ctx, built.Path, options)
	if err != nil {
		return catalog.Loaded{}, err
	}
	if n := model.GPULayers(); n > 0 {
		log.Info("model loaded on a gpu", "file", built.Path, "gpu_layers", n)
	} else if layers != 0 {
		idleGPU.Do(func() { warnOfIdleGPU(ctx, log) })
	}
	drafts, err := f.draftMax(model.BatchExact())
	if err != nil {
		return catalog.Loaded{}, err
	}
	engine := infer.New(model, infer.Options{MaxQueue: f.MaxQueue, DraftMax: drafts, PromptCacheBytes: int64(f.PromptCache) << 20}, log)
	return catalog.Loaded{Engine: engine, Serving: server.Engine{
		Generator: engine, Grammars: engine, Vocabulary: model, Embedder: engine, HiddenSize: model.HiddenSize(),
	}}, nil
}
