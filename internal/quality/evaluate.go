package quality

import (
	"context"

	"prunellm/infer"
)

// Evaluation selects the variants to measure, and the text and the tasks.
type Evaluation struct {
	Model    string    // name in the report
	Dense    string    // path of the dense model's file
	Variants []Variant // without results
	// Open opens a decoder that takes a window in one batch. Evaluate opens each path once and closes all decoders.
	Open   func(path string) (infer.Decoder, error)
	Window int // tokens per window; also the maximum tokens of a task's context with a choice
	// Windows tokenizes the text with the dense model's vocabulary and splits it into windows; nil without a text.
	Windows func(dense infer.Decoder) ([][]infer.Token, error)
	Tasks   []Task
	Start   infer.Token // see TokenizeTasks
	// Meter starts a progress display of the total; the second function ends it.
	Meter func(unit string, total int) (meter func(done int), end func())
}

// Evaluate loads the dense model and all variants, and measures them on the same windows and tasks.
func Evaluate(ctx context.Context, e Evaluation) (*Report, error) {
	decoders := map[string]infer.Decoder{}
	defer func() {
		for _, d := range decoders {
			_ = d.Close() // only read
		}
	}()
	open := func(path string) (d infer.Decoder, err error) {
		if d, ok := decoders[path]; ok {
			return d, nil
		}
		if d, err = e.Open(path); err == nil {
			decoders[path] = d
		}
		return d, err
	}
	dense, err := open(e.Dense)
	if err != nil {
		return nil, err
	}
	var windows [][]infer.Token
	if e.Windows != nil {
		if windows, err = e.Windows(dense); err != nil {
			return nil, err
		}
	}
	variants := make([]infer.Decoder, len(e.Variants))
	for i, v := range e.Variants {
		if variants[i], err = open(v.Path); err != nil {
			return nil, err
		}
	}
	report := &Report{Model: e.Model, Window: e.Window, Windows: len(windows), Variants: e.Variants}
	if err := e.text(ctx, report, dense, variants, windows); err != nil {
		return nil, err
	}
	return report, e.tasks(ctx, report, dense, variants)
}

// text measures the windows, and stores the results in the report.
func (e *Evaluation) text(ctx context.Context, report *Report, dense infer.Decoder, variants []infer.Decoder, windows [][]infer.Token) error {
	if len(windows) == 0 {
		return nil
	}
	meter, end := e.Meter("windows", len(windows))
	defer end()
	results, err := Measure(ctx, dense, variants, windows, meter)
	if err != nil {
		return err
	}
	for i, r := range results {
		report.Variants[i].Seconds = r.Took.Seconds()
		report.Variants[i].TextFigures = &TextFigures{Perplexity: r.Perplexity, KLToDense: r.KLToDense, Top1Agreement: r.Top1Agreement}
	}
	return nil
}

// tasks measures the choices of all variants, and stores the results in the report.
func (e *Evaluation) tasks(ctx context.Context, report *Report, dense infer.Decoder, variants []infer.Decoder) error {
	if len(e.Tasks) == 0 {
		return nil
	}
	tokens, err := TokenizeTasks(dense.Tokenize, e.Start, e.Tasks, e.Window)
	if err != nil {
		return &TaskError{err}
	}
	meter, end := e.Meter("tasks", len(e.Tasks)*len(variants))
	defer end()
	for i, d := range variants {
		result, err := MeasureTasks(ctx, d, tokens, func(done int) { meter(i*len(e.Tasks) + done) })
		if err != nil {
			return err
		}
		report.Variants[i].Tasks = &result
		report.Variants[i].Seconds += result.Took.Seconds()
	}
	return nil
}

// TaskError reports a task for which a model cannot be scored.
type TaskError struct{ error }

// Unwrap returns the reason.
func (e *TaskError) Unwrap() error { return e.error }
