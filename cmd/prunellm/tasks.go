package main

import (
	"fmt"
	"text/tabwriter"

	"prunellm/infer"
	"prunellm/internal/progress"
	"prunellm/internal/quality"
	"prunellm/internal/regularfile"
	"prunellm/internal/variant"
	"prunellm/models"
)

// questions are what eval measures models on.
type questions struct {
	text  string
	tasks []quality.Task
}

// read reads the files before anything is computed.
func (c *evalCommand) read() (*questions, error) {
	var asked questions
	var err error
	if c.Output != "" {
		if err := checkOutputFolder(c.Output); err != nil {
			return nil, err
		}
	}
	if c.Text != "" {
		if asked.text, err = readText(c.Text); err != nil {
			return nil, err
		}
	}
	if c.Tasks == "" {
		return &asked, nil
	}
	file, _, err := regularfile.Open(c.Tasks, quality.MaxTaskBytes)
	if err != nil {
		return nil, fmt.Errorf("--tasks: %w", err)
	}
	defer file.Close()
	if asked.tasks, err = quality.ParseTasks(file); err != nil {
		return nil, usageError{fmt.Errorf("--tasks: %q: %w", c.Tasks, err)}
	}
	return &asked, nil
}

// answer lets all variants choose, and puts the results into the report.
func (c *evalCommand) answer(env *environment, model *models.GGUF, dense infer.Decoder, variants []infer.Decoder, tasks []quality.Task, report *evalReport) error {
	if len(tasks) == 0 {
		return nil
	}
	start := infer.Token(model.Tokenizer().BOS)
	if start < 0 {
		start = infer.Token(model.Tokenizer().EOS)
	}
	tokens, err := quality.TokenizeTasks(dense.Tokenize, start, tasks, c.Window)
	if err != nil {
		return fmt.Errorf("--tasks: %q: %w", c.Tasks, err)
	}
	view := progress.New(env.stderr, env.log)
	defer view.Close()
	meter := variant.NewMeter(variant.StageEvaluating, "tasks", len(tasks)*len(variants), view.Show)
	for i, d := range variants {
		result, err := quality.MeasureTasks(env.ctx, d, tokens, func(done int) { meter(i*len(tasks) + done) })
		if err != nil {
			return err
		}
		report.Variants[i].Tasks = &result
		report.Variants[i].Seconds += result.Took.Seconds()
	}
	return nil
}

// taskTable prints the answers for people.
func (c *evalCommand) taskTable(env *environment, report *evalReport) error {
	w := tabwriter.NewWriter(env.stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(env.stdout, "%s, %d tasks\n", report.Model, report.Variants[0].Tasks.Tasks)
	fmt.Fprintln(w, "ratio\treached\taccuracy\tstandard error\tby byte\tstandard error\t")
	for _, v := range report.Variants {
		fmt.Fprintf(w, "%g\t%.4f\t%.4f\t%.4f\t%.4f\t%.4f\t\n", v.Ratio, v.RatioReached, v.Tasks.Accuracy, v.Tasks.AccuracyStderr,
			v.Tasks.Normalized, v.Tasks.NormalizedStderr)
	}
	return w.Flush()
}
