package main

import (
	"fmt"

	"github.com/google/renameio/v2"

	"prunellm/internal/jobs/work"
	"prunellm/internal/outfile"
	"prunellm/internal/progress"
	"prunellm/internal/variant"
)

// calibrateCommand writes the calibration tokens that scores and refits would read.
type calibrateCommand struct {
	modelFlags  `embed:"" group:"Model"`
	Output      string `help:"JSON file to write. Its members tokens (for scores and refit), further (for the refit alone) and held_out are lists of sequences of token ids. 'score --tokens' reads it." short:"o" required:"" type:"path" placeholder:"FILE.json"`
	CacheDir    string `help:"Folder of converted models and temporary files." default:"${cache}" type:"path" placeholder:"DIR"`
	recipeFlags `embed:"" group:"Pruning"`
}

// Validate reports every fault at once.
func (c *calibrateCommand) Validate() error { return c.recipeFlags.Validate() }

// Run computes in this process, not in a child process: the command does nothing else.
func (c *calibrateCommand) Run(env *environment) error {
	if err := outfile.CheckFolder(c.Output); err != nil {
		return err
	}
	model, err := c.open(env, c.CacheDir)
	if err != nil {
		return err
	}
	defer model.Close()
	spec, err := c.spec(model, 0, "keep")
	if err != nil {
		return err
	}
	if c.CacheDir == "" {
		return errNoHome
	}
	scratch, release, err := work.NewExchange(c.CacheDir)
	if err != nil {
		return err
	}
	defer release()
	view := progress.New(env.stderr, env.log)
	text, err := work.CalibrationText(env.ctx, model, scratch, spec, variant.Text{}, variant.NewCounter(variant.StageCalibrating, "tokens", view.Show))
	view.Close()
	if err != nil {
		return named(model, err)
	}
	value, err := variant.EncodeText(text)
	if err != nil {
		return err
	}
	if err := renameio.WriteFile(c.Output, value, 0o644); err != nil {
		return fmt.Errorf("write tokens: %w", err)
	}
	return nil
}
