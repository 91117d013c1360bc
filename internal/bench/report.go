package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"
)

// Report holds the results of Run.
type Report struct {
	Date     time.Time
	Hardware string // one line; "" when unknown
	Version  string // of the program that measured
	Command  string // how to repeat it
	Plan     Plan
	Results  []Result // by load, then by target
	// ClientCPU is the processor time of this process during the measurements, Took their duration.
	ClientCPU, Took time.Duration
}

// ClientShare returns the share of one core that this process used per 100 output tokens/s that it read.
func (r *Report) ClientShare() float64 {
	tokens := 0
	for _, result := range r.Results {
		tokens += result.OutputTokens
	}
	if tokens == 0 {
		return 0
	}
	return 100 * r.ClientCPU.Seconds() / float64(tokens)
}

// JSON writes one object. Its "results" have one entry for each load and target, with the keys of `vllm bench serve`.
func (r *Report) JSON(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(map[string]any{
		"date": r.Date.UTC().Format(time.RFC3339), "hardware": r.Hardware, "version": r.Version, "command": r.Command,
		"rounds": r.Plan.Rounds, "requests_a_round": r.Plan.Requests, "prompt_words": r.Plan.Prompt.String(), "answer_tokens": r.Plan.Answer.String(),
		"seed": r.Plan.Seed, "duration": r.Took.Seconds(),
		"client_cpu_seconds": r.ClientCPU.Seconds(), "client_core_share_per_100_tokens_per_second": r.ClientShare(),
		"results": r.Results,
	})
}

// Table writes the report as text.
func (r *Report) Table(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	goodput := ""
	if r.Plan.SLO.Set() {
		goodput = "good req/s\t"
	}
	fmt.Fprintln(w, "load\ttarget\tTTFT ms p50\tp95\tp99\tITL ms p50\tp95\tp99\tTPOT ms p50\tE2E ms p50\tp95\toutput tok/s\ttotal tok/s\t"+goodput+"failed\toutput over first\t")
	for _, x := range r.Results {
		fmt.Fprintf(w, "%s\t%s\t%.1f\t%.1f\t%.1f\t%.2f\t%.2f\t%.2f\t%.2f\t%.0f\t%.0f\t%.1f\t%.1f\t", x.Load, x.Target.Name,
			x.TTFT.P50(), x.TTFT.P95(), x.TTFT.P99(), x.ITL.P50(), x.ITL.P95(), x.ITL.P99(), x.TPOT.P50(), x.E2E.P50(), x.E2E.P95(),
			x.OutputThroughput, x.TotalThroughput)
		if goodput != "" {
			fmt.Fprintf(w, "%.2f\t", x.Goodput)
		}
		fmt.Fprintf(w, "%d\t%s\t\n", x.Failed, x.over())
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if err := r.models(out); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, "\n%d rounds in %s; this client used %.2f%% of a core per 100 tokens/s.\n", r.Plan.Rounds, r.Took.Round(time.Second), 100*r.ClientShare())
	return err
}

// over returns the ratio of the output throughput to the baseline's, with its range over rounds.
func (r Result) over() string {
	ratio, ok := r.Ratios[ratioOutput]
	if !ok {
		return "-"
	}
	return fmt.Sprintf("%.2f (%.2f to %.2f)", ratio.Median, ratio.Low, ratio.High)
}

// models adds the descriptions of the models behind the targets.
func (r *Report) models(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	known := false
	for _, x := range r.firstLoad() {
		a := x.Target.About
		if a == nil {
			continue
		}
		if !known {
			fmt.Fprintln(w, "\nmodel\tratio reached\tparameters\tfile MiB\tmemory MiB\tperplexity over dense\tKL to dense\ttop-1 agreement\t")
			known = true
		}
		fmt.Fprintf(w, "%s\t%.4f\t%d\t%.1f\t%s\t%s\t%s\t%s\t\n", x.Target.Name, a.RatioReached, a.Parameters, mebibytes(a.Bytes),
			orDash(a.MemoryBytes > 0, "%.0f", mebibytes(a.MemoryBytes)), known64("%.3f", a.PerplexityRatio), known64("%.4f", a.KLToDense), known64("%.4f", a.Top1Agreement))
	}
	return w.Flush()
}

// firstLoad returns the results of the first load: one for each target.
func (r *Report) firstLoad() []Result {
	n := 0
	for n < len(r.Results) && r.Results[n].Load == r.Results[0].Load {
		n++
	}
	return r.Results[:n]
}

func mebibytes(n int64) float64 { return float64(n) / (1 << 20) }

func orDash(known bool, format string, v any) string {
	if !known {
		return "-"
	}
	return fmt.Sprintf(format, v)
}

func known64(format string, v *float64) string {
	if v == nil {
		return "-"
	}
	return fmt.Sprintf(format, *v)
}
