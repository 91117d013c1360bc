package bench

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"slices"

	"github.com/go-echarts/go-echarts/v2/charts"
	"github.com/go-echarts/go-echarts/v2/opts"
)

var (
	//go:embed report.html
	pageText string
	// chartLibrary is Apache ECharts 5.6.0 (dist/echarts.common.min.js of its npm package) with an SPDX header; see echarts/LICENSE.
	//go:embed echarts/echarts.common.min.js
	chartLibrary string
)

// chart is one figure of the page.
type chart struct {
	ID     string
	Title  string
	Says   string         // a description in one sentence
	Option map[string]any // for ECharts
	Kinds  []string       // the kinds of lines of each target, in order
}

// colors distinguish the targets, in the same way in all charts. They are Okabe and Ito's without yellow, which readers with
// red-green color blindness can distinguish too.
var colors = []string{"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#555555"}

func colorOf(target int) string { return colors[target%len(colors)] }

// colorNamed returns the color of the target with that name.
func (r *Report) colorNamed(name string) string {
	return colorOf(slices.IndexFunc(r.firstLoad(), func(x Result) bool { return x.Target.Name == name }))
}

// dashes distinguish the lines of one target. Its first line is solid.
var dashes = []string{"solid", "dashed"}

// HTML writes the report as one page that contains the chart library and loads nothing from other hosts.
func (r *Report) HTML(w io.Writer) error {
	page, err := template.New("report").Funcs(template.FuncMap{
		"mib": mebibytes, "known": known64, "date": func() string { return r.Date.UTC().Format("2006-01-02 15:04 MST") },
		"over": Result.over, "percent": func(v float64) string { return fmt.Sprintf("%.2f", 100*v) },
	}).Parse(pageText)
	if err != nil {
		return err
	}
	figures := r.charts()
	for i := range figures {
		figures[i].ID = fmt.Sprintf("chart-%d", i+1)
	}
	return page.Execute(w, map[string]any{
		"Report": r, "Charts": figures, "Models": r.known(), "Bars": r.bars(), "Height": barHeight * len(r.firstLoad()),
		"Library": template.JS(chartLibrary), //nolint:gosec // embedded in the binary
	})
}

// known returns the results of targets with an About.
func (r *Report) known() []Result {
	var known []Result
	for _, x := range r.firstLoad() {
		if x.Target.About != nil {
			known = append(known, x)
		}
	}
	return known
}

// charts returns the charts of the report. Charts of quality against speed, and of sizes, need known models.
func (r *Report) charts() []chart {
	var out []chart
	if c, ok := r.qualityChart(); ok {
		out = append(out, c)
	}
	perLoad := func(title, says, unit string, figures ...figure) chart {
		line := charts.NewLine()
		line.SetGlobalOptions(axes("load", unit)...)
		var loads []string
		for i := 0; i < len(r.Results); i += max(1, len(r.firstLoad())) {
			loads = append(loads, r.Results[i].Load.String())
		}
		line.SetXAxis(loads)
		for t, target := range r.firstLoad() {
			for k, f := range figures {
				data := make([]opts.LineData, len(loads))
				for i := range loads {
					data[i] = opts.LineData{Value: rounded(f.of(r.Results[i*len(r.firstLoad())+t]))}
				}
				line.AddSeries(target.Target.Name, data,
					charts.WithItemStyleOpts(opts.ItemStyle{Color: colorOf(t)}),
					charts.WithLineStyleOpts(opts.LineStyle{Color: colorOf(t), Width: 2, Type: dashes[k]}))
			}
		}
		line.Validate()
		c := chart{Title: title, Says: says, Option: line.JSON()}
		for _, f := range figures {
			c.Kinds = append(c.Kinds, f.name)
		}
		return c
	}
	out = append(out,
		perLoad("Time to the first token", "Milliseconds from sending a request (or, in an open loop, from its arrival) to the first text; median (solid) and 95th percentile (dashed).", "ms",
			figure{"p50", func(x Result) float64 { return x.TTFT.P50() }}, figure{"p95", func(x Result) float64 { return x.TTFT.P95() }}),
		perLoad("Time between tokens", "Milliseconds between two events with text; median (solid) and 95th percentile (dashed).", "ms",
			figure{"p50", func(x Result) float64 { return x.ITL.P50() }}, figure{"p95", func(x Result) float64 { return x.ITL.P95() }}),
		perLoad("Output", "Tokens per second over all requests of a round; median of the rounds.", "tokens/s",
			figure{"", func(x Result) float64 { return x.OutputThroughput }}),
		perLoad("Whole answer", "Milliseconds from sending a request to the end of the answer; median (solid) and 95th percentile (dashed).", "ms",
			figure{"p50", func(x Result) float64 { return x.E2E.P50() }}, figure{"p95", func(x Result) float64 { return x.E2E.P95() }}),
	)
	if c, ok := r.sizeChart(); ok {
		out = append(out, c)
	}
	return out
}

// figure is one number of a result.
type figure struct {
	name string
	of   func(Result) float64
}

// rounded drops insignificant digits.
func rounded(v float64) float64 { return float64(int64(v*100+0.5)) / 100 }

func axes(x, y string) []charts.GlobalOpts {
	return []charts.GlobalOpts{
		charts.WithAnimation(false),
		charts.WithTooltipOpts(opts.Tooltip{Show: opts.Bool(true), Trigger: "axis"}),
		charts.WithLegendOpts(opts.Legend{Show: opts.Bool(false)}), // the page has its own legend
		charts.WithGridOpts(opts.Grid{Left: "8", Right: "24", Top: "36", Bottom: "36", ContainLabel: opts.Bool(true)}),
		charts.WithXAxisOpts(opts.XAxis{Name: x, NameLocation: "middle", NameGap: 28}),
		charts.WithYAxisOpts(opts.YAxis{Name: y}),
	}
}

// qualityChart plots output throughput at the lightest load against perplexity relative to dense, one point for each variant.
func (r *Report) qualityChart() (chart, bool) {
	scatter := charts.NewScatter()
	scatter.SetGlobalOptions(append(axes("output tokens/s at "+r.Results[0].Load.String(), "perplexity over dense"),
		charts.WithXAxisOpts(opts.XAxis{Name: "output tokens/s, " + r.Results[0].Load.String(), NameLocation: "middle", NameGap: 28, Type: "value", Scale: opts.Bool(true)}),
		charts.WithYAxisOpts(opts.YAxis{Name: "perplexity over dense", Type: "value", Scale: opts.Bool(true)}),
		charts.WithTooltipOpts(opts.Tooltip{Show: opts.Bool(true), Trigger: "item"}))...)
	points := 0
	for _, x := range r.known() {
		if x.Target.About.PerplexityRatio == nil {
			continue
		}
		points++
		scatter.AddSeries(x.Target.Name, []opts.ScatterData{{
			Name: x.Target.Name, Value: []any{rounded(x.OutputThroughput), float64(int64(1000**x.Target.About.PerplexityRatio+0.5)) / 1000}, SymbolSize: 16,
		}}, charts.WithItemStyleOpts(opts.ItemStyle{Color: r.colorNamed(x.Target.Name)}))
	}
	scatter.Validate()
	return chart{Title: "Quality against speed", Says: "Right is faster, down is closer to the dense model. Perplexity is on held-out calibration text.", Option: scatter.JSON()}, points > 0
}

// sizeChart shows the file size and memory of each variant.
func (r *Report) sizeChart() (chart, bool) {
	bar := charts.NewBar()
	bar.SetGlobalOptions(axes("", "MiB")...)
	var names []string
	var files, memory []opts.BarData
	remembered := false
	for _, x := range r.known() {
		names = append(names, x.Target.Name)
		color := r.colorNamed(x.Target.Name)
		files = append(files, opts.BarData{Value: rounded(mebibytes(x.Target.About.Bytes)), ItemStyle: &opts.ItemStyle{Color: color}})
		memory = append(memory, opts.BarData{Value: rounded(mebibytes(x.Target.About.MemoryBytes)), ItemStyle: &opts.ItemStyle{Color: color, Opacity: opts.Float(0.5)}})
		remembered = remembered || x.Target.About.MemoryBytes > 0
	}
	bar.SetXAxis(names).AddSeries("file", files)
	if remembered {
		bar.AddSeries("largest resident memory of the server", memory)
	}
	bar.Validate()
	return chart{Title: "Size and memory", Says: "The size of the model's file and (paler) the largest resident memory of its server during the measurement.", Option: bar.JSON()}, len(names) > 0
}

// bar is one bar of the chart that needs no scripts.
type bar struct {
	Name  string
	Color string
	Value float64 // output tokens per second
	Y     int     // pixels
	Width float64 // of at most barWidth pixels
	End   float64 // position of the number
}

const (
	barHeight = 40
	barWidth  = 300.0
)

// bars returns the output throughput at the lightest load, for print and for browsers without scripts.
func (r *Report) bars() []bar {
	most := 0.0
	for _, x := range r.firstLoad() {
		most = max(most, x.OutputThroughput)
	}
	var out []bar
	for i, x := range r.firstLoad() {
		b := bar{Name: x.Target.Name, Color: colorOf(i), Value: x.OutputThroughput, Y: i * barHeight}
		if most > 0 {
			b.Width = barWidth * x.OutputThroughput / most
		}
		b.End = b.Width + 6
		out = append(out, b)
	}
	return out
}

// ChartLibrary returns the script that draws charts, for other reports of this program.
func ChartLibrary() string { return chartLibrary }
