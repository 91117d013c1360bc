package quality

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// Report holds the measurements of several variants on the same text and tasks. prunellm eval prints it as JSON.
type Report struct {
	Model    string    `json:"model"`
	Window   int       `json:"window"`  // tokens
	Windows  int       `json:"windows"` // 0 without a text
	Variants []Variant `json:"variants"`
}

// Variant is one variant in a report.
type Variant struct {
	Path         string      `json:"-"` // of its GGUF file
	Ratio        float64     `json:"ratio"`
	RatioReached float64     `json:"ratio_reached"`
	KeptMLP      float64     `json:"kept_mlp"`
	Parameters   int64       `json:"parameters"`
	Bytes        int64       `json:"bytes"`
	Seconds      float64     `json:"seconds"` // spent in the variant's decoder
	*TextFigures             // nil without a text
	Tasks        *TaskResult `json:"tasks,omitempty"`
}

// TextFigures are a variant's results on the text; see Result.
type TextFigures struct {
	Perplexity    float64 `json:"perplexity"`
	KLToDense     float64 `json:"kl_to_dense"`
	Top1Agreement float64 `json:"top1_agreement"`
}

// Table writes the report as one table for the text and one for the tasks, if it has any.
func (r *Report) Table(out io.Writer) error {
	if r.Windows > 0 {
		if err := r.textTable(out); err != nil {
			return err
		}
	}
	if len(r.Variants) == 0 || r.Variants[0].Tasks == nil {
		return nil
	}
	return r.taskTable(out)
}

func (r *Report) textTable(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(out, "%s, %d windows of %d tokens\n", r.Model, r.Windows, r.Window)
	fmt.Fprintln(w, "ratio\treached\tMLP kept\tperplexity\tover dense\tKL to dense\ttop-1 agreement\tparameters\tbytes\t")
	dense := 0.0
	for _, v := range r.Variants {
		if v.Ratio == 0 {
			dense = v.Perplexity
		}
	}
	for _, v := range r.Variants {
		over := "-"
		if dense > 0 {
			over = fmt.Sprintf("%.3f", v.Perplexity/dense)
		}
		fmt.Fprintf(w, "%g\t%.4f\t%.4f\t%.3f\t%s\t%.4f\t%.4f\t%d\t%d\t\n",
			v.Ratio, v.RatioReached, v.KeptMLP, v.Perplexity, over, v.KLToDense, v.Top1Agreement, v.Parameters, v.Bytes)
	}
	return w.Flush()
}

func (r *Report) taskTable(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(out, "%s, %d tasks\n", r.Model, r.Variants[0].Tasks.Tasks)
	fmt.Fprintln(w, "ratio\treached\taccuracy\tstandard error\tby byte\tstandard error\t")
	for _, v := range r.Variants {
		fmt.Fprintf(w, "%g\t%.4f\t%.4f\t%.4f\t%.4f\t%.4f\t\n", v.Ratio, v.RatioReached, v.Tasks.Accuracy, v.Tasks.AccuracyStderr,
			v.Tasks.Normalized, v.Tasks.NormalizedStderr)
	}
	return w.Flush()
}
