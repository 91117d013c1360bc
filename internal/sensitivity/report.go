package sensitivity

import (
	"bytes"
	"fmt"
	"html/template"
	"io"
	"math"
	"text/tabwriter"

	_ "embed" // report.html

	"github.com/go-echarts/go-echarts/v2/charts"
	"github.com/go-echarts/go-echarts/v2/opts"
	"github.com/google/renameio/v2"
)

// Report has the measurements of all layers. Its JSON form is the output of the command.
type Report struct {
	Model   string  `json:"model"`
	Window  int     `json:"window"`
	Windows int     `json:"windows"`
	Share   float64 `json:"share"`
	Layers  []Row   `json:"layers"`
}

// perMillion returns the mean KL divergences per million parameters removed.
func (r *Report) perMillion() (neurons, heads float64) {
	var neuronKL, headKL, neuronWeights, headWeights float64
	for _, row := range r.Layers {
		neuronKL, headKL = neuronKL+row.NeuronKL, headKL+row.HeadKL
		neuronWeights, headWeights = neuronWeights+float64(row.NeuronWeights), headWeights+float64(row.HeadWeights)
	}
	return neuronKL / neuronWeights * 1e6, headKL / headWeights * 1e6
}

// Table writes the report as text.
func (r *Report) Table(out io.Writer) error {
	fmt.Fprintf(out, "%s, %g of each layer's MLP neurons or attention heads removed, %d windows of %d tokens\n", r.Model, r.Share, r.Windows, r.Window)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "layer\tneurons\tKL\theads\tKL\t")
	for _, row := range r.Layers {
		fmt.Fprintf(w, "%d\t%d\t%.5f\t%d\t%.5f\t\n", row.Layer, row.Neurons, row.NeuronKL, row.Heads, row.HeadKL)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	neurons, heads := r.perMillion()
	_, err := fmt.Fprintf(out, "mean KL per million parameters removed: %.5f for neurons, %.5f for heads\n", neurons, heads)
	return err
}

//go:embed report.html
var reportPage string

// Plot writes a self-contained HTML page. library is the source of ECharts (see bench.ChartLibrary).
func (r *Report) Plot(path, library string) error {
	line := charts.NewBar()
	line.SetGlobalOptions(
		charts.WithAnimation(false),
		charts.WithTooltipOpts(opts.Tooltip{Show: opts.Bool(true), Trigger: "axis"}),
		charts.WithLegendOpts(opts.Legend{Show: opts.Bool(true)}),
		charts.WithXAxisOpts(opts.XAxis{Name: "layer", NameLocation: "middle", NameGap: 28}),
		charts.WithYAxisOpts(opts.YAxis{Name: "KL to the whole model", Type: "log"}),
	)
	var layers []string
	var neurons, heads []opts.BarData
	for _, row := range r.Layers {
		layers = append(layers, fmt.Sprint(row.Layer))
		neurons = append(neurons, opts.BarData{Value: significant(row.NeuronKL)})
		heads = append(heads, opts.BarData{Value: significant(row.HeadKL)})
	}
	line.SetXAxis(layers).AddSeries("MLP neurons", neurons).AddSeries("attention heads", heads)
	line.Validate()
	page, err := template.New("sensitivity").Parse(reportPage)
	if err != nil {
		return err
	}
	perNeuron, perHead := r.perMillion()
	var html bytes.Buffer
	err = page.Execute(&html, map[string]any{
		"Report": r, "Option": line.JSON(), "Neurons": significant(perNeuron), "Heads": significant(perHead),
		"Library": template.JS(library), //nolint:gosec // embedded in the binary
	})
	if err != nil {
		return err
	}
	if err := renameio.WriteFile(path, html.Bytes(), 0o644); err != nil {
		return fmt.Errorf("write plot: %w", err)
	}
	return nil
}

// significant rounds to four significant digits.
func significant(v float64) float64 {
	if v == 0 || math.IsNaN(v) || math.IsInf(v, 0) {
		return 0
	}
	scale := math.Pow(10, 3-math.Floor(math.Log10(math.Abs(v))))
	return math.Round(v*scale) / scale
}
