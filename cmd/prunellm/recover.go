package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"prunellm/convert"
	"prunellm/internal/calibration"
	"prunellm/internal/flags"
	"prunellm/internal/outfile"
	"prunellm/internal/progress"
	"prunellm/internal/variant"
	"prunellm/internal/workshop"
	"prunellm/prune/recover"
)

// recoverCommand trains a pruned variant.
type recoverCommand struct {
	modelFlags    `embed:"" group:"Model"`
	Ratio         float64 `help:"Share of all parameters to remove, above 0 and below 1." required:"" placeholder:"R"`
	Output        string  `help:"GGUF file to write if training improves the model. Without this flag the result stays in the cache." short:"o" type:"path" placeholder:"FILE.gguf"`
	FileType      string  `help:"Type of the matrices to write, as in prune. The gain is measured on weights rounded to this type." default:"keep" placeholder:"TYPE"`
	Minutes       float64 `help:"Minutes to train. Default without --tokens: 10." placeholder:"M"`
	Tokens        int     `help:"Tokens to train on, with repeated text counted each time. The same number gives the same weights." placeholder:"N"`
	recoveryFlags `embed:"" group:"Training"`
	recipeFlags   `embed:"" group:"Pruning"`
	cacheFlags    `embed:"" group:"Cache"`
}

// recoveryFlags configure recovery training.
type recoveryFlags struct {
	Train        string  `help:"Weights to train: ${enum}. 'mlp' trains the MLPs, 'lora' low-rank updates of all matrices, which it merges at the end, 'all' every weight of every layer." enum:"mlp,lora,all" default:"mlp"`
	LearningRate float64 `help:"Peak learning rate; 0: a value that fits the trained weights and the ratio." default:"0"`
	CrossEntropy float64 `help:"Weight of cross entropy in the loss, 0 to 1; the rest is KL divergence from the dense model." default:"0"`
	TextTokens   int     `help:"Tokens of training text at most; 0: 98304 from a file, or 24576 that the model writes." default:"0" placeholder:"N"`
}

// Defaults and limits of a training.
const (
	defaultRecoverMinutes  = 10
	maxRecoverMinutes      = 7 * 24 * 60
	maxRecoverTokens       = 1 << 40
	fileRecoveryTokens     = 98304
	selfRecoveryTokens     = 24576
	recoverySequenceLength = 512
)

// Validate reports every fault at once.
func (f *recoveryFlags) Validate() error {
	var faults []error
	if !(f.LearningRate >= 0 && f.LearningRate <= 1) {
		faults = append(faults, fmt.Errorf("--learning-rate is %v but must be 0 to 1", f.LearningRate))
	}
	if !(f.CrossEntropy >= 0 && f.CrossEntropy <= 1) {
		faults = append(faults, fmt.Errorf("--cross-entropy is %v but must be 0 to 1", f.CrossEntropy))
	}
	if f.TextTokens != 0 && (f.TextTokens < 2*recoverySequenceLength || f.TextTokens > maxCalibrationTokens) {
		faults = append(faults, fmt.Errorf("--text-tokens is %d but must be %d to %d", f.TextTokens, 2*recoverySequenceLength, maxCalibrationTokens))
	}
	return flags.Join(faults)
}

// Validate reports every fault at once.
func (c *recoverCommand) Validate() error {
	faults := flags.Faults(checkRatio(c.Ratio), c.recipeFlags.Validate(), c.recoveryFlags.Validate(), c.cacheFlags.Validate())
	if c.Ratio == 0 {
		faults = append(faults, errors.New("--ratio is 0: there is nothing to recover"))
	}
	if !(c.Minutes >= 0 && c.Minutes <= maxRecoverMinutes) || c.Tokens < 0 || c.Tokens > maxRecoverTokens {
		faults = append(faults, fmt.Errorf("--minutes is %v and --tokens %d; neither may be negative", c.Minutes, c.Tokens))
	}
	return flags.Join(faults)
}

// recovery returns the training that the flags describe. It reads the recipe's calibration text if that comes from files, and
// text that the model writes otherwise. minutes or tokens must be positive.
func (f *recoveryFlags) recovery(spec variant.Spec, minutes float64, tokens, contextLength int) variant.Recovery {
	text := calibration.Reference{Identity: spec.Recipe.Calibration, File: spec.Calibration.File}.Training()
	r := variant.Recovery{
		Train: recover.Train(f.Train), Tokens: tokens, Duration: time.Duration(minutes * float64(time.Minute)),
		LearningRate: f.LearningRate, CrossEntropy: f.CrossEntropy, Seed: spec.Recipe.Seed, Source: text.Identity,
		Text:       variant.Calibration{File: text.File, Length: min(recoverySequenceLength, contextLength)},
		TextTokens: f.TextTokens,
	}
	if r.TextTokens == 0 {
		if r.TextTokens = fileRecoveryTokens; r.Text.File == "" {
			r.TextTokens = selfRecoveryTokens
		}
	}
	return r
}

// Run makes the variant, trains it, and writes it if training lowered its KL divergence.
func (c *recoverCommand) Run(env *environment) error {
	if c.Output != "" {
		if err := outfile.Check(c.Output); err != nil {
			return err
		}
	}
	model, err := c.open(env, c.CacheDir)
	if err != nil {
		return err
	}
	defer model.Close()
	spec, err := c.spec(model, c.Ratio, c.FileType)
	if err != nil {
		return err
	}
	if c.Output != "" {
		if err := convert.RefuseSameFile(model.Path(), c.Output); err != nil {
			return usageError{err}
		}
	}
	minutes := c.Minutes
	if minutes == 0 && c.Tokens == 0 {
		minutes = defaultRecoverMinutes
	}
	recovery := c.recovery(spec, minutes, c.Tokens, model.Config().ContextLength)
	shop, err := openWorkshop(env, model, c.cacheFlags, workshop.Serving{})
	if err != nil {
		return err
	}
	defer shop.Close()
	view := progress.New(env.stderr, env.log)
	built, report, err := shop.Builder.Recover(env.ctx, spec, recovery, shop.Orders, view.Show)
	view.Close()
	if errors.Is(err, variant.ErrNotRecovered) {
		return usageError{fmt.Errorf("--ratio: %w", err)}
	}
	if err != nil {
		return named(model, err)
	}
	return c.finish(env, built, report)
}

// finish prints the figures, and writes the file if training improved them.
func (c *recoverCommand) finish(env *environment, built variant.Built, report variant.RecoveryReport) error {
	fmt.Fprintln(env.stdout, report)
	if report.Stopped != "" {
		env.log.Warn("training ended early", "reason", report.Stopped)
	}
	if !report.Better {
		not := ""
		if c.Output != "" {
			not = fmt.Sprintf(", so %q was not written", c.Output)
		}
		return fmt.Errorf("training did not improve the model on held-out text%s: try more text or time, or a lower --learning-rate", not)
	}
	if c.Output == "" {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(c.Output), 0o755); err != nil {
		return err
	}
	if err := outfile.Copy(built.Path, c.Output); err != nil {
		return err
	}
	env.log.Info("wrote recovered variant", "path", c.Output, "ratio", built.Ratio, "ratio_reached", built.Reached,
		"kl_before", report.Before.KL, "kl_after", report.After.KL, "bytes", built.Bytes)
	return nil
}
