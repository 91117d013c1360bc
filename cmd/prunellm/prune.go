package main

import (
	"prunellm/convert"
	"prunellm/internal/flags"
	"prunellm/internal/outfile"
	"prunellm/internal/variant"
	"prunellm/internal/workshop"
)

// pruneCommand writes a pruned model to a file.
type pruneCommand struct {
	modelFlags  `embed:"" group:"Model"`
	Ratio       float64 `help:"Share of all parameters to remove, from 0 up to but not including 1." required:"" placeholder:"R"`
	Output      string  `help:"GGUF file to write, or folder with --format safetensors." short:"o" required:"" type:"path" placeholder:"FILE.gguf|DIR"`
	FileType    string  `help:"Type of the matrices to write (q8_0, q4_0, f16, f32 and others), or 'keep' for each matrix's own type. Safetensors takes f32, f16, bf16 or 'keep', which turns quantized matrices into f16." default:"keep" placeholder:"TYPE"`
	Format      string  `help:"Format of the output: ${enum}. A safetensors folder loads in transformers and vLLM; with --budget global both need trust_remote_code." enum:"gguf,safetensors" default:"gguf"`
	recipeFlags `embed:"" group:"Pruning"`
	cacheFlags  `embed:"" group:"Cache"`
}

// Validate reports every fault at once.
func (c *pruneCommand) Validate() error {
	return flags.Join(flags.Faults(checkRatio(c.Ratio), c.recipeFlags.Validate(), c.cacheFlags.Validate(), c.checkFormat()))
}

// Run makes or finds the variant and writes it to --output.
func (c *pruneCommand) Run(env *environment) error {
	if c.Format != formatSafetensors {
		if err := outfile.CheckFolder(c.Output); err != nil {
			return err
		}
	}
	model, origin, err := c.openSource(env.ctx, env, c.CacheDir, false)
	if err != nil {
		return err
	}
	defer model.Close()
	if c.Format == formatSafetensors {
		if err := c.prepareFolder(model); err != nil {
			return usageError{err}
		}
	}
	spec, err := c.spec(model, c.Ratio, c.FileType)
	if err != nil {
		return err
	}
	if err := convert.RefuseSameFile(model.Path(), c.Output); err != nil {
		return usageError{err}
	}
	shop, err := openWorkshop(env, model, c.cacheFlags, workshop.Serving{})
	if err != nil {
		return err
	}
	defer shop.Close()
	built, err := shop.Build(env.ctx, spec)
	if err != nil {
		return named(model, err)
	}
	if c.Format != formatSafetensors { // before the card, because measuring it takes a while
		if err := outfile.Copy(built.Path, c.Output); err != nil {
			return err
		}
	}
	card, err := shop.Card(env.ctx, spec, built)
	if err != nil {
		return err
	}
	if c.Format == formatSafetensors {
		if err := c.writeFolder(env, built, card, origin); err != nil {
			return named(model, err)
		}
	}
	c.summarize(env, built, card)
	return nil
}

// summarize logs the variant's sizes and the figures of its card, which may be nil.
func (c *pruneCommand) summarize(env *environment, built variant.Built, card *variant.Card) {
	summary := []any{"path", c.Output, "ratio", built.Ratio, "ratio_reached", built.Reached,
		"mlp_kept", built.KeptMLP, "parameters", built.Parameters, "bytes", built.Bytes, "dense_bytes", built.DenseBytes}
	if card != nil {
		summary = append(summary, "perplexity", card.Perplexity, "perplexity_ratio", card.Ratio(),
			"kl_to_dense", card.KLToDense, "top1_agreement", card.Top1Agreement, "eval_tokens", card.Tokens)
	}
	env.log.Info("wrote variant", summary...)
	if built.Larger() {
		env.log.Warn("variant is larger than the model file: --file-type keep makes it smaller", "path", c.Output)
	}
}
