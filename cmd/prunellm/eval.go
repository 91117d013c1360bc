package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"text/tabwriter"
	"unicode/utf8"

	"prunellm/convert"
	"prunellm/infer"
	"prunellm/infer/llamacpp"
	"prunellm/internal/calibration"
	"prunellm/internal/progress"
	"prunellm/internal/quality"
	"prunellm/internal/regularfile"
	"prunellm/internal/variant"
	"prunellm/internal/workshop"
	"prunellm/models"
)

// evalCommand measures what pruning cost.
type evalCommand struct {
	modelFlags  `embed:"" group:"Model"`
	Ratios      []float64 `help:"Ratios to measure; 0 is the dense model." default:"0,0.2,0.4" placeholder:"R,..."`
	Text        string    `help:"UTF-8 text to measure on. It should not be the calibration text." type:"path" placeholder:"FILE"`
	Tasks       string    `help:"JSONL file of multiple-choice tasks (context, choices, label), answered by likelihood. Contexts are cut at --window tokens." type:"path" placeholder:"FILE.jsonl"`
	Sensitivity bool      `help:"Measure instead how KL divergence grows when a share of each layer's MLP neurons, or attention heads, is removed."`
	Share       float64   `help:"Share that --sensitivity removes, above 0 and below 1." default:"0.25" placeholder:"S"`
	Output      string    `help:"HTML file for the plot of --sensitivity." short:"o" type:"path" placeholder:"FILE.html"`
	Window      int       `help:"Tokens per window. Windows do not overlap and begin at the start of the text." default:"512" placeholder:"N"`
	Windows     int       `help:"Windows to measure; 0: all of the text." default:"0" placeholder:"N"`
	JSON        bool      `help:"Print one JSON object to standard output instead of a table." name:"json"`
	FileType    string    `help:"Type of the matrices of pruned variants, as in serve; ratio 0 is measured unchanged." default:"keep" placeholder:"TYPE"`
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
	faults := nonNil(c.recipeFlags.Validate(), c.cacheFlags.Validate())
	if len(c.Ratios) == 0 || len(c.Ratios) > maxRatios {
		faults = append(faults, fmt.Errorf("--ratios has %d entries, want 1 to %d", len(c.Ratios), maxRatios))
	}
	for _, ratio := range c.Ratios {
		if err := checkRatio(ratio); err != nil {
			faults = append(faults, err)
		}
	}
	if c.Window < 2 || c.Window > maxWindow {
		faults = append(faults, fmt.Errorf("--window is %d, want 2 to %d", c.Window, maxWindow))
	}
	if c.Windows < 0 || c.Threads < 0 || c.Threads > maxThreads {
		faults = append(faults, fmt.Errorf("--windows is %d and --threads %d, want 0 or more", c.Windows, c.Threads))
	}
	switch {
	case c.Text == "" && (c.Sensitivity || c.Tasks == ""):
		faults = append(faults, errors.New("missing flags: --text=FILE (or --tasks=FILE.jsonl)"))
	case c.Sensitivity && c.Tasks != "":
		faults = append(faults, errors.New("--sensitivity and --tasks are measured one at a time"))
	case c.Output != "" && !c.Sensitivity:
		faults = append(faults, errors.New("--output is for the plot of --sensitivity"))
	}
	if !(c.Share > 0 && c.Share < 1) {
		faults = append(faults, fmt.Errorf("--share is %v, want above 0 and below 1", c.Share))
	}
	return joinFaults(faults)
}

// evalReport is what --json prints.
type evalReport struct {
	Model    string        `json:"model"`
	Window   int           `json:"window"`
	Windows  int           `json:"windows"`
	Variants []evalVariant `json:"variants"`
}

type evalVariant struct {
	Ratio        float64             `json:"ratio"`
	RatioReached float64             `json:"ratio_reached"`
	KeptMLP      float64             `json:"kept_mlp"`
	Parameters   int64               `json:"parameters"`
	Bytes        int64               `json:"bytes"`
	Seconds      float64             `json:"seconds"` // spent in the variant's decoder
	*textFigures                     // nil without a text
	Tasks        *quality.TaskResult `json:"tasks,omitempty"`
}

// textFigures are what a text shows of a variant.
type textFigures struct {
	Perplexity    float64 `json:"perplexity"`
	KLToDense     float64 `json:"kl_to_dense"`
	Top1Agreement float64 `json:"top1_agreement"`
}

// Run makes the variants and measures all on the same windows.
func (c *evalCommand) Run(env *environment) error {
	asked, err := c.read()
	if err != nil {
		return err
	}
	model, err := c.open(env, c.CacheDir)
	if err != nil {
		return err
	}
	defer model.Close()
	if c.Sensitivity {
		return named(model, c.sensitivity(env, model, asked.text))
	}
	built, err := c.build(env, model)
	if err != nil {
		return named(model, err)
	}
	report, err := c.measure(env, model, built, asked)
	if err != nil {
		return named(model, err)
	}
	if c.JSON {
		return json.NewEncoder(env.stdout).Encode(report)
	}
	return c.table(env, report)
}

// build makes the variants of all ratios.
func (c *evalCommand) build(env *environment, model *models.GGUF) ([]variant.Built, error) {
	shop, err := openWorkshop(env, model, c.cacheFlags, workshop.Serving{})
	if err != nil {
		return nil, err
	}
	defer shop.Close()
	built := make([]variant.Built, len(c.Ratios))
	for i, ratio := range c.Ratios {
		fileType := c.FileType
		if ratio == 0 {
			fileType = string(convert.Keep)
		}
		spec, err := c.spec(model, ratio, fileType)
		if err != nil {
			return nil, err
		}
		if built[i], err = shop.Build(env.ctx, spec); err != nil {
			return nil, err
		}
	}
	return built, nil
}

// measure loads dense and all variants, and runs the windows through them.
func (c *evalCommand) measure(env *environment, model *models.GGUF, built []variant.Built, asked *questions) (*evalReport, error) {
	decoders := map[string]*llamacpp.Model{}
	defer func() {
		for _, d := range decoders {
			_ = d.Close() // nothing was written
		}
	}()
	open := func(path string) (infer.Decoder, error) {
		if d, ok := decoders[path]; ok {
			return d, nil
		}
		d, err := llamacpp.Open(env.ctx, path, llamacpp.Options{
			ContextSize: c.Window, Sequences: 1, BatchSize: max(c.Window, 32), Threads: c.Threads, GPULayers: allLayers, Log: env.log})
		if err != nil {
			return nil, err
		}
		decoders[path] = d
		return d, nil
	}
	dense, err := open(model.Path())
	if err != nil {
		return nil, err
	}
	windows, err := c.windows(env.ctx, dense, asked.text)
	if err != nil {
		return nil, err
	}
	variants := make([]infer.Decoder, len(built))
	report := &evalReport{Model: model.ServedName(), Window: c.Window, Windows: len(windows)}
	for i, b := range built {
		if variants[i], err = open(b.Path); err != nil {
			return nil, err
		}
		report.Variants = append(report.Variants, evalVariant{
			Ratio: b.Ratio, RatioReached: b.Reached, KeptMLP: b.KeptMLP, Parameters: b.Parameters, Bytes: b.Bytes,
		})
	}
	if len(windows) > 0 {
		results, err := c.compare(env, dense, variants, windows)
		if err != nil {
			return nil, err
		}
		for i, r := range results {
			report.Variants[i].Seconds = r.Took.Seconds()
			report.Variants[i].textFigures = &textFigures{Perplexity: r.Perplexity, KLToDense: r.KLToDense, Top1Agreement: r.Top1Agreement}
		}
	}
	return report, c.answer(env, model, dense, variants, asked.tasks, report)
}

// windows cuts the text; none without one.
func (c *evalCommand) windows(ctx context.Context, dense calibration.Tokenizer, text string) ([][]infer.Token, error) {
	if text == "" {
		return nil, nil
	}
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

func (c *evalCommand) compare(env *environment, dense infer.Decoder, variants []infer.Decoder, windows [][]infer.Token) ([]quality.Result, error) {
	view := progress.New(env.stderr, env.log)
	defer view.Close()
	meter := variant.NewMeter(variant.StageEvaluating, "windows", len(windows), view.Show)
	return quality.Measure(env.ctx, dense, variants, windows, meter)
}

// table prints the report for people.
func (c *evalCommand) table(env *environment, report *evalReport) error {
	w := tabwriter.NewWriter(env.stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	if c.Text == "" {
		return c.taskTable(env, report)
	}
	fmt.Fprintf(env.stdout, "%s, %d windows of %d tokens\n", report.Model, report.Windows, report.Window)
	fmt.Fprintln(w, "ratio\treached\tMLP kept\tperplexity\tover dense\tKL to dense\ttop-1 agreement\tparameters\tbytes\t")
	dense := 0.0
	for _, v := range report.Variants {
		if v.Ratio == 0 {
			dense = v.Perplexity
		}
	}
	for _, v := range report.Variants {
		over := "-"
		if dense > 0 {
			over = fmt.Sprintf("%.3f", v.Perplexity/dense)
		}
		fmt.Fprintf(w, "%g\t%.4f\t%.4f\t%.3f\t%s\t%.4f\t%.4f\t%d\t%d\t\n",
			v.Ratio, v.RatioReached, v.KeptMLP, v.Perplexity, over, v.KLToDense, v.Top1Agreement, v.Parameters, v.Bytes)
	}
	if err := w.Flush(); err != nil || c.Tasks == "" {
		return err
	}
	return c.taskTable(env, report)
}

// readText reads a text file of bounded size.
func readText(path string) (string, error) {
	data, err := regularfile.Read(path, maxEvalBytes)
	if err != nil {
		return "", fmt.Errorf("--text: %w", err)
	}
	if !utf8.Valid(data) {
		return "", usageError{fmt.Errorf("--text: %q is not UTF-8", path)}
	}
	if len(data) == 0 {
		return "", usageError{fmt.Errorf("--text: %q is empty", path)}
	}
	return string(data), nil
}
