package main

import (
	"fmt"

	"github.com/google/renameio/v2"

	"prunellm/internal/outfile"
	"prunellm/internal/progress"
	"prunellm/internal/regularfile"
	"prunellm/internal/variant"
	"prunellm/prune"
)

// scoreCommand computes scores on given tokens and writes them.
type scoreCommand struct {
	modelFlags     `embed:"" group:"Model"`
	Tokens         string  `help:"JSON file whose member \"tokens\" holds sequences of token ids." required:"" type:"path" placeholder:"FILE.json"`
	Criterion      string  `help:"How neurons are scored: ${criteria_help}." enum:"${criteria}" default:"sdm"`
	Alpha          float64 `help:"Weight of the distillation loss against cross entropy, 0 to 1 (${distilling})." default:"0.4"`
	Temperature    float64 `help:"Temperature of the dense model's distribution in the distillation loss (${distilling})." default:"0.2"`
	SliverKeep     float64 `help:"Share of each layer's neurons that the student of the distillation loss keeps, above 0 and below 1 (${distilling})." default:"0.975"`
	MixedPrecision string  `help:"Use bfloat16 in matmuls: ${enum}. auto uses it if the processor has instructions for it and the criterion tolerates it (not ${float32_only}). Scores with 'no' are comparable across machines." enum:"auto,no,bf16" default:"no"`
	Output         string  `help:"File to write, with the tensors stage1 and stage2, float32[layers, neurons]." short:"o" required:"" type:"path" placeholder:"FILE.safetensors"`
}

// Validate reports every fault at once.
func (c *scoreCommand) Validate() error {
	recipe := recipeFlags{Alpha: c.Alpha, Temperature: c.Temperature, SliverKeep: c.SliverKeep, CalibrationTokens: minCalibrationTokens}
	return recipe.Validate()
}

// Run computes in this process, not in a child process: the command does nothing else.
func (c *scoreCommand) Run(env *environment) error {
	if err := outfile.CheckFolder(c.Output); err != nil {
		return err
	}
	model, err := c.open(env, defaultCache(env.home))
	if err != nil {
		return err
	}
	defer model.Close()
	sequences, err := readTokens(c.Tokens, model.Config().VocabSize)
	if err != nil {
		return err
	}
	backend, err := openXLA(env.ctx, env.home, env.log)
	if err != nil {
		return fmt.Errorf("score %q: %w", model.Path(), err)
	}
	defer backend.Finalize()
	recipe := prune.DefaultRecipe()
	recipe.Criterion, recipe.Alpha, recipe.Temperature = prune.Criterion(c.Criterion), c.Alpha, c.Temperature
	recipe.SliverKeep, recipe.Precision = c.SliverKeep, precisions[c.MixedPrecision]
	view := progress.New(env.stderr, env.log)
	scores, err := prune.Score(env.ctx, backend, model, sequences, recipe, variant.Clocked(view.Show))
	view.Close()
	if err != nil {
		return fmt.Errorf("score %q: %w", model.Path(), err)
	}
	value, err := variant.EncodeScores(scores)
	if err != nil {
		return err
	}
	if err := renameio.WriteFile(c.Output, value, 0o644); err != nil {
		return fmt.Errorf("write scores: %w", err)
	}
	return nil
}

func readTokens(path string, vocab int) ([][]int32, error) {
	value, err := regularfile.Read(path, variant.MaxTokenFileBytes)
	if err != nil {
		return nil, fmt.Errorf("--tokens: %w", err)
	}
	tokens, err := variant.DecodeTokens(value, vocab)
	if err != nil {
		return nil, fmt.Errorf("--tokens: %q: %w", path, err)
	}
	return tokens, nil
}
