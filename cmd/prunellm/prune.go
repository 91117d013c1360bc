package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
	"github.com/prometheus/client_golang/prometheus"

	"prunellm/convert"
	"prunellm/internal/jobs/work"
	"prunellm/internal/store"
	"prunellm/internal/variant"
	"prunellm/models"
)

// pruneCommand writes a pruned model to a file.
type pruneCommand struct {
	modelFlags  `embed:""`
	Ratio       float64 `help:"Share of all parameters to remove, from 0 up to but not including 1." required:"" placeholder:"R"`
	Output      string  `help:"GGUF file, or folder with --format safetensors, to write." short:"o" required:"" type:"path" placeholder:"FILE.gguf|DIR"`
	FileType    string  `help:"Type of the matrices written (q8_0, q4_0, f16, f32 and others), or 'keep' to leave each as it is; in safetensors f32, f16 or bf16, and 'keep' makes f16 of quantized ones." default:"keep" placeholder:"TYPE"`
	Format      string  `help:"Format of the output: ${enum}. A safetensors folder loads in transformers and vLLM; it has one width for all layers." enum:"gguf,safetensors" default:"gguf"`
	recipeFlags `embed:""`
	cacheFlags  `embed:""`
}

// Validate reports every fault at once.
func (c *pruneCommand) Validate() error {
	return joinFaults(nonNil(checkRatio(c.Ratio), c.recipeFlags.Validate(), c.cacheFlags.Validate(), c.checkFormat()))
}

// Run makes the variant, or finds it, and copies it to its place.
func (c *pruneCommand) Run(env *environment) error {
	if c.Format != formatSafetensors {
		if err := checkOutputFolder(c.Output); err != nil {
			return err
		}
	}
	model, origin, err := c.openSource(env.ctx, env, c.CacheDir)
	if err != nil {
		return err
	}
	defer model.Close()
	if c.Format == formatSafetensors {
		if err := c.prepareFolder(model); err != nil {
			return usageError{err}
		}
	}
	spec, err := c.spec(model.Config(), c.Ratio, c.FileType)
	if err != nil {
		return err
	}
	if err := convert.RefuseSameFile(model.Path(), c.Output); err != nil {
		return usageError{err}
	}
	counters := newCounters(prometheus.NewRegistry())
	places, err := openStores(env.ctx, c.cacheFlags, env.log, counters.hooks())
	if err != nil {
		return err
	}
	defer places.closeLogged(env.log)
	builder := newBuilder(env, model, places, counters, c.CacheDir)
	view := newProgressView(env.stderr, env.log)
	built, err := builder.Build(env.ctx, spec, view.show)
	view.close()
	if err != nil {
		return named(model, err)
	}
	if c.Format == formatSafetensors {
		err = named(model, c.writeFolder(env, built, origin))
	} else {
		err = copyFile(built.Path, c.Output)
	}
	if err != nil {
		return err
	}
	return c.summarize(env, builder, spec, built)
}

// summarize says what was written and what pruning cost.
func (c *pruneCommand) summarize(env *environment, builder *variant.Builder, spec variant.Spec, built variant.Built) error {
	summary := []any{"path", c.Output, "ratio", built.Ratio, "ratio_reached", built.Reached,
		"mlp_kept", built.KeptMLP, "parameters", built.Parameters, "bytes", built.Bytes}
	card, err := builder.Card(env.ctx, spec, built, measuring(env, c.CacheDir, false))
	switch {
	case err == nil:
		summary = append(summary, "perplexity", card.Perplexity, "perplexity_ratio", card.Ratio(),
			"kl_to_dense", card.KLToDense, "top1_agreement", card.Top1Agreement, "eval_tokens", card.Tokens)
	case env.ctx.Err() != nil:
		return env.ctx.Err()
	case !errors.Is(err, variant.ErrNoHeldOut):
		env.log.Warn("cost of pruning not measured", "error", err)
	}
	env.log.Info("wrote variant", summary...)
	return nil
}

// newBuilder connects the parts that make variants of a model.
func newBuilder(env *environment, model *models.GGUF, places *stores, counters *counters, cacheDir string) *variant.Builder {
	return &variant.Builder{
		Model: model, Name: model.ServedName(), Store: places.store, Leaser: places.leaser, Files: places.files,
		Runner: newProcessRunner(env, cacheDir, false),
		Codec:  work.Codec(), Tool: "prunellm " + version, Log: env.log,
		Scored:  counters.scored,
		Corrupt: func(store.Kind) { counters.corrupt.Inc() },
	}
}

// copyFile puts a copy of source at target, whole or not at all.
func copyFile(source, target string) (err error) {
	from, err := os.Open(source)
	if err != nil {
		return fmt.Errorf("read variant: %w", err)
	}
	defer from.Close()
	to, err := renameio.NewPendingFile(target, renameio.WithTempDir(filepath.Dir(target)), renameio.WithPermissions(0o644))
	if err != nil {
		return fmt.Errorf("write %q: %w", target, err)
	}
	if _, err := io.Copy(to, from); err != nil {
		return errors.Join(fmt.Errorf("write %q: %w", target, err), to.Cleanup())
	}
	if err := to.CloseAtomicallyReplace(); err != nil {
		return fmt.Errorf("write %q: %w", target, err)
	}
	return nil
}

// nonNil drops the nil ones of some errors.
func nonNil(errs ...error) []error {
	var kept []error
	for _, err := range errs {
		if err != nil {
			kept = append(kept, err)
		}
	}
	return kept
}
