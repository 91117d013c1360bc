package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"prunellm/convert"
	"prunellm/infer"
	"prunellm/infer/llamacpp"
	"prunellm/internal/calibration"
	"prunellm/internal/flags"
	"prunellm/internal/outfile"
	"prunellm/internal/progress"
	"prunellm/internal/quality"
	"prunellm/internal/regularfile"
	"prunellm/internal/variant"
	"prunellm/internal/workshop"
	"prunellm/models"
)

// evalCommand measures perplexity, KL divergence, accuracy in tasks, and sensitivity.
type evalCommand struct {
	modelFlags  `embed:"" group:"Model"`
	Ratios      []float64 `help:"Ratios to measure; 0 is the dense model." default:"0,0.2,0.4" placeholder:"R,..."`
	Text        string    `help:"UTF-8 text to measure on. It should not be the calibration text." type:"path" placeholder:"FILE"`
	Tasks       string    `help:"JSONL file of multiple-choice tasks (context, choices, label) to answer by likelihood. A context keeps at most its last --window tokens." type:"path" placeholder:"FILE.jsonl"`
	Sensitivity bool      `help:"Measure instead how much KL divergence grows without a share of each layer's MLP neurons or attention heads."`
	Share       float64   `help:"Share that --sensitivity removes, above 0 and below 1." default:"0.25" placeholder:"S"`
	Output      string    `help:"HTML file for the plot of --sensitivity." short:"o" type:"path" placeholder:"FILE.html"`
	Window      int       `help:"Tokens per window. Windows do not overlap and begin at the start of the text." default:"512" placeholder:"N"`
	Windows     int       `help:"Windows to measure; 0: the whole text, or 4 windows with --sensitivity." default:"0" placeholder:"N"`
	JSON        bool      `help:"Print one JSON object to standard output instead of a table." name:"json"`
	FileType    string    `help:"Type of the matrices of pruned variants, as in serve; ratio 0 is the unchanged model file." default:"keep" placeholder:"TYPE"`
	Threads     int       `help:"Threads; 0: one per core that this process may use." default:"0" placeholder:"N"`
	recipeFlags `embed:"" group:"Pruning"`
	cacheFlags  `embed:"" group:"Cache"`
}

const (
	maxRatios    = 32
	maxWindow    = 4096
	maxEvalBytes = 1 << 30
)

// Validate reports every fault at once.
func (c *evalCommand) Validate() error {
	faults := flags.Faults(c.recipeFlags.Validate(), c.cacheFlags.Validate())
	if len(c.Ratios) == 0 || len(c.Ratios) > maxRatios {
		faults = append(faults, fmt.Errorf("--ratios has %d entries but must have 1 to %d", len(c.Ratios), maxRatios))
	}
	for _, ratio := range c.Ratios {
		if err := checkRatio(ratio); err != nil {
			faults = append(faults, err)
		}
	}
	if c.Window < 2 || c.Window > maxWindow {
		faults = append(faults, fmt.Errorf("--window is %d but must be 2 to %d", c.Window, maxWindow))
	}
	if c.Windows < 0 || c.Threads < 0 || c.Threads > maxThreads {
		faults = append(faults, fmt.Errorf("--windows is %d and --threads %d; neither may be negative", c.Windows, c.Threads))
	}
	switch {
	case c.Text == "" && (c.Sensitivity || c.Tasks == ""):
		faults = append(faults, errors.New("missing flags: --text=FILE (or --tasks=FILE.jsonl)"))
	case c.Sensitivity && c.Tasks != "":
		faults = append(faults, errors.New("--sensitivity and --tasks cannot be used together"))
	case c.Output != "" && !c.Sensitivity:
		faults = append(faults, errors.New("--output needs --sensitivity: it is the file of that plot"))
	}
	if !(c.Share > 0 && c.Share < 1) {
		faults = append(faults, fmt.Errorf("--share is %v but must be above 0 and below 1", c.Share))
	}
	return flags.Join(faults)
}

// Run makes the variants and measures all of them on the same windows and tasks.
func (c *evalCommand) Run(env *environment) error {
	text, tasks, err := c.read()
	if err != nil {
		return err
	}
	model, err := c.open(env, c.CacheDir)
	if err != nil {
		return err
	}
	defer model.Close()
	if c.Sensitivity {
		return named(model, c.sensitivity(env, model, text))
	}
	built, err := c.build(env, model)
	if err != nil {
		return named(model, err)
	}
	report, err := c.measure(env, model, built, text, tasks)
	if err != nil {
		return named(model, err)
	}
	if c.JSON {
		return json.NewEncoder(env.stdout).Encode(report)
	}
	return report.Table(env.stdout)
}

// build makes the variants of all ratios.
func (c *evalCommand) build(env *environment, model *models.GGUF) ([]quality.Variant, error) {
	shop, err := openWorkshop(env, model, c.cacheFlags, workshop.Serving{})
	if err != nil {
		return nil, err
	}
	defer shop.Close()
	variants := make([]quality.Variant, len(c.Ratios))
	for i, ratio := range c.Ratios {
		fileType := c.FileType
		if ratio == 0 {
			fileType = string(convert.Keep)
		}
		spec, err := c.spec(model, ratio, fileType)
		if err != nil {
			return nil, err
		}
		built, err := shop.Build(env.ctx, spec)
		if err != nil {
			return nil, err
		}
		variants[i] = quality.Variant{
			Path: built.Path, Ratio: built.Ratio, RatioReached: built.Reached, KeptMLP: built.KeptMLP,
			Parameters: built.Parameters, Bytes: built.Bytes,
		}
	}
	return variants, nil
}

// measure runs the windows and the tasks through the dense model and all variants.
func (c *evalCommand) measure(env *environment, model *models.GGUF, variants []quality.Variant, text string, tasks []quality.Task) (*quality.Report, error) {
	start := infer.Token(model.Tokenizer().BOS)
	if start < 0 {
		start = infer.Token(model.Tokenizer().EOS)
	}
	evaluation := quality.Evaluation{
		Model: model.ServedName(), Dense: model.Path(), Variants: variants, Window: c.Window, Tasks: tasks, Start: start,
		Open: c.opener(env),
		Meter: func(unit string, total int) (meter func(done int), end func()) {
			view := progress.New(env.stderr, env.log)
			return variant.NewMeter(variant.StageEvaluating, unit, total, view.Show), view.Close
		},
	}
	if text != "" {
		evaluation.Windows = func(dense infer.Decoder) ([][]infer.Token, error) { return c.windows(env.ctx, dense, text) }
	}
	report, err := quality.Evaluate(env.ctx, evaluation)
	var task *quality.TaskError
	if errors.As(err, &task) {
		err = fmt.Errorf("--tasks: %q: %w", c.Tasks, err)
	}
	return report, err
}

// opener opens models for windows of --window tokens.
func (c *evalCommand) opener(env *environment) func(path string) (infer.Decoder, error) {
	return func(path string) (infer.Decoder, error) {
		return llamacpp.Open(env.ctx, path, llamacpp.Options{
			ContextSize: c.Window, Sequences: 1, BatchSize: max(c.Window, 32), Threads: c.Threads, GPULayers: allLayers, Log: env.log})
	}
}

// windows cuts the text into windows of --window tokens.
func (c *evalCommand) windows(ctx context.Context, dense calibration.Tokenizer, text string) ([][]infer.Token, error) {
	tokens, err := calibration.Tokenize(ctx, dense, text, false, nil)
	if err != nil {
		return nil, fmt.Errorf("--text: tokenize %q: %w", c.Text, err)
	}
	windows, err := quality.Windows(tokens, c.Window, c.Windows)
	if err != nil {
		return nil, fmt.Errorf("--text: %q: %w", c.Text, err)
	}
	return windows, nil
}

// read reads text and tasks, so that their faults end the command before any computation.
func (c *evalCommand) read() (text string, tasks []quality.Task, err error) {
	if c.Output != "" {
		if err := outfile.CheckFolder(c.Output); err != nil {
			return "", nil, err
		}
	}
	if c.Text != "" {
		data, err := regularfile.Read(c.Text, maxEvalBytes)
		if err != nil {
			return "", nil, fmt.Errorf("--text: %w", err)
		}
		if text, err = quality.ParseText(data); err != nil {
			return "", nil, usageError{fmt.Errorf("--text: %q %w", c.Text, err)}
		}
	}
	if c.Tasks == "" {
		return text, nil, nil
	}
	file, _, err := regularfile.Open(c.Tasks, quality.MaxTaskBytes)
	if err != nil {
		return "", nil, fmt.Errorf("--tasks: %w", err)
	}
	defer file.Close()
	if tasks, err = quality.ParseTasks(file); err != nil {
		return "", nil, usageError{fmt.Errorf("--tasks: %q: %w", c.Tasks, err)}
	}
	return text, tasks, nil
}
