package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html/template"
	"math"
	"os"
	"path/filepath"
	"text/tabwriter"

	_ "embed"

	"github.com/go-echarts/go-echarts/v2/charts"
	"github.com/go-echarts/go-echarts/v2/opts"
	"github.com/google/renameio/v2"

	"prunellm/infer"
	"prunellm/infer/llamacpp"
	"prunellm/internal/bench"
	"prunellm/internal/jobs/work"
	"prunellm/internal/sensitivity"
	"prunellm/internal/variant"
	"prunellm/models"
)

// sensitivityWindows is how many windows a part's removal is measured on unless --windows says otherwise: every layer
// takes two measurements.
const sensitivityWindows = 4

// sensitivityReport is what --sensitivity --json prints.
type sensitivityReport struct {
	Model   string            `json:"model"`
	Window  int               `json:"window"`
	Windows int               `json:"windows"`
	Share   float64           `json:"share"`
	Layers  []sensitivity.Row `json:"layers"`
}

// perMillion are the mean divergences for each million parameters that go.
func (r *sensitivityReport) perMillion() (neurons, heads float64) {
	var neuronKL, headKL, neuronWeights, headWeights float64
	for _, row := range r.Layers {
		neuronKL, headKL = neuronKL+row.NeuronKL, headKL+row.HeadKL
		neuronWeights, headWeights = neuronWeights+float64(row.NeuronWeights), headWeights+float64(row.HeadWeights)
	}
	return neuronKL / neuronWeights * 1e6, headKL / headWeights * 1e6
}

// sensitivity measures the layers one by one, on the model in the type in which it would be served.
func (c *evalCommand) sensitivity(env *environment, model *models.GGUF, text string) error {
	if c.Windows == 0 {
		c.Windows = sensitivityWindows
	}
	scores, whole, err := c.scored(env, model)
	if err != nil {
		return err
	}
	report, err := c.remove(env, whole, scores, text)
	if err != nil {
		return err
	}
	report.Model = model.ServedName()
	if c.Output != "" {
		if err := report.plot(c.Output); err != nil {
			return err
		}
	}
	if c.JSON {
		return json.NewEncoder(env.stdout).Encode(report)
	}
	return report.table(env)
}

// scored obtains the neurons' importance and the path of the whole model in the file type asked for.
func (c *evalCommand) scored(env *environment, model *models.GGUF) ([][]float32, string, error) {
	shop, err := openWorkshop(env, model, c.cacheFlags, nil)
	if err != nil {
		return nil, "", err
	}
	defer shop.close()
	spec, err := c.spec(model.Config(), 0, c.FileType)
	if err != nil {
		return nil, "", err
	}
	built, err := shop.build(env, spec)
	if err != nil {
		return nil, "", err
	}
	view := newProgressView(env.stderr, env.log)
	defer view.close()
	scores, err := shop.builder.Scores(env.ctx, spec, view.show)
	if err != nil {
		return nil, "", err
	}
	return scores.Stage2, built.Path, nil
}

// remove measures a copy of the whole model without each of its parts.
func (c *evalCommand) remove(env *environment, path string, scores [][]float32, text string) (*sensitivityReport, error) {
	whole, err := models.OpenGGUF(path, work.Codec().Dequantize)
	if err != nil {
		return nil, err
	}
	defer whole.Close()
	if info, ok := whole.File().Tensor(models.TensorName(models.AttnV, 0)); !ok || info.Size%int64(info.Shape[0]) != 0 {
		return nil, fmt.Errorf("%q: rows of type %s cannot be taken out one by one", path, info.Type)
	}
	folder, err := os.MkdirTemp(c.CacheDir, "sensitivity-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	part := filepath.Join(folder, "part.gguf")
	if err := copyFile(path, part); err != nil {
		return nil, err
	}
	open := func(path string) (infer.Decoder, error) {
		return llamacpp.Open(env.ctx, path, llamacpp.Options{
			ContextSize: c.Window, Sequences: 1, BatchSize: max(c.Window, 32), Threads: c.Threads, GPULayers: allLayers, Log: env.log})
	}
	decoder, err := open(path)
	if err != nil {
		return nil, err
	}
	defer decoder.Close()
	windows, err := c.windows(env.ctx, decoder, text)
	if err != nil {
		return nil, err
	}
	view := newProgressView(env.stderr, env.log)
	defer view.close()
	rows, err := sensitivity.Measure(env.ctx, whole, part, decoder, sensitivity.Options{
		Share: c.Share, Scores: scores, Windows: windows, Open: open,
		Done: variant.NewMeter(variant.StageEvaluating, "measurements", sensitivity.Steps(whole.Config()), view.show),
	})
	return &sensitivityReport{Window: c.Window, Windows: len(windows), Share: c.Share, Layers: rows}, err
}

// table prints the report for people.
func (r *sensitivityReport) table(env *environment) error {
	fmt.Fprintf(env.stdout, "%s, %g of each layer's MLP neurons or attention heads removed, %d windows of %d tokens\n", r.Model, r.Share, r.Windows, r.Window)
	w := tabwriter.NewWriter(env.stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "layer\tneurons\tKL\theads\tKL\t")
	for _, row := range r.Layers {
		fmt.Fprintf(w, "%d\t%d\t%.5f\t%d\t%.5f\t\n", row.Layer, row.Neurons, row.NeuronKL, row.Heads, row.HeadKL)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	neurons, heads := r.perMillion()
	_, err := fmt.Fprintf(env.stdout, "mean KL for each million parameters removed: %.5f by neurons, %.5f by heads\n", neurons, heads)
	return err
}

//go:embed sensitivity.html
var sensitivityPage string

// plot writes an HTML page that loads nothing from elsewhere.
func (r *sensitivityReport) plot(path string) error {
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
	page, err := template.New("sensitivity").Parse(sensitivityPage)
	if err != nil {
		return err
	}
	perNeuron, perHead := r.perMillion()
	var out bytes.Buffer
	err = page.Execute(&out, map[string]any{
		"Report": r, "Option": line.JSON(), "Neurons": significant(perNeuron), "Heads": significant(perHead),
		"Library": template.JS(bench.ChartLibrary()), //nolint:gosec // embedded, not from outside
	})
	if err != nil {
		return err
	}
	if err := renameio.WriteFile(path, out.Bytes(), 0o644); err != nil {
		return fmt.Errorf("write plot: %w", err)
	}
	return nil
}

// significant rounds to four digits.
func significant(v float64) float64 {
	if v == 0 || math.IsNaN(v) || math.IsInf(v, 0) {
		return 0
	}
	scale := math.Pow(10, 3-math.Floor(math.Log10(math.Abs(v))))
	return math.Round(v*scale) / scale
}
