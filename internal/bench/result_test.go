package bench

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"time"
)

const ms = time.Millisecond

// sample returns an answer of n tokens. The first one arrives after first, each later one gap after the previous one.
func sample(first, gap time.Duration, n int) Sample {
	s := Sample{First: first, Last: first + gap*time.Duration(n-1), OutputTokens: n, PromptTokens: 10}
	s.End = s.Last + ms
	for range n - 1 {
		s.Gaps = append(s.Gaps, gap)
	}
	return s
}

func TestStats(t *testing.T) {
	var times []time.Duration
	for i := 100; i >= 1; i-- {
		times = append(times, time.Duration(i)*ms)
	}
	s := newStats(times)
	if s.P50() != 51 || s.Percentiles[1] != 91 || s.P95() != 96 || s.P99() != 100 || s.Mean != 50.5 || math.Abs(s.SD-28.866) > 0.001 {
		t.Errorf("newStats = %+v", s)
	}
	if one := newStats([]time.Duration{3 * ms}); one.P50() != 3 || one.P99() != 3 || one.SD != 0 {
		t.Errorf("newStats of one = %+v", one)
	}
	if none := newStats(nil); none != (Stats{}) {
		t.Errorf("newStats of none = %+v", none)
	}
}

// report returns a report of one load, dense and pruned, with figures that are easy to compute by hand.
func report() *Report {
	p := plan()
	p.Loads, p.SLO = p.Loads[:1], SLO{TTFT: 150 * ms, ITL: 15 * ms}
	dense := []round{{samples: []Sample{sample(100*ms, 10*ms, 11), sample(200*ms, 10*ms, 11)}, took: 2 * time.Second}}
	pruned := []round{{samples: []Sample{sample(50*ms, 5*ms, 11), {Err: errors.New("429 <b>full</b>")}}, took: time.Second}}
	over, kl, agreement, perplexity := 1.3, 0.25, 0.75, 20.0
	names := []Target{{Name: "m@0", Model: "m", About: &About{Parameters: 100, Bytes: 1 << 20}},
		{Name: "m</script><script>alert(1)</script>@0.2", Model: "m", About: &About{Ratio: 0.2, RatioReached: 0.199, Parameters: 80, Bytes: 1 << 19,
			MemoryBytes: 1 << 30, Perplexity: &perplexity, PerplexityRatio: &over, KLToDense: &kl, Top1Agreement: &agreement}}}
	r := &Report{Date: time.Unix(0, 0), Hardware: "a machine", Plan: p, ClientCPU: 10 * ms, Took: 3 * time.Second,
		Results: []Result{newResult(names[0], p, p.Loads[0], dense), newResult(names[1], p, p.Loads[0], pruned)}}
	r.Results[1].Baseline, r.Results[1].Ratios = "m@0", ratios(pruned, dense, p.SLO)
	return r
}

func TestJSON(t *testing.T) {
	var out bytes.Buffer
	if err := report().JSON(&out); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Share   float64          `json:"client_core_share_per_100_tokens_per_second"`
		Results []map[string]any `json:"results"`
	}
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if math.Abs(got.Share-1.0/33) > 1e-9 {
		t.Errorf("client's share = %v, want 10 ms for 33 tokens, times 100", got.Share)
	}
	for i, want := range []map[string]any{
		{"label": "m@0", "ratio": 0.0, "completed": 2.0, "failed": 0.0, "output_throughput": 11.0, "total_token_throughput": 21.0, "request_throughput": 1.0,
			"request_goodput": 0.5, "p50_ttft_ms": 200.0, "mean_ttft_ms": 150.0, "median_itl_ms": 10.0, "p95_itl_ms": 10.0, "p99_tpot_ms": 10.0,
			"p50_e2el_ms": 301.0, "p90_e2el_ms": 301.0, "max_concurrency": 1.0, "request_rate": "inf", "total_input_tokens": 20.0, "total_output_tokens": 22.0},
		{"ratio": 0.2, "completed": 1.0, "failed": 1.0, "output_throughput": 11.0, "p50_ttft_ms": 50.0, "perplexity_ratio": 1.3, "bytes": 524288.0, "memory_bytes": 1073741824.0,
			"baseline": "m@0", "first_error": "429 <b>full</b>", "top1_agreement": 0.75},
	} {
		for key, value := range want {
			if got.Results[i][key] != value {
				t.Errorf("result %d: %s = %v, want %v", i, key, got.Results[i][key], value)
			}
		}
	}
	if r := got.Results[1]["ratios"].(map[string]any)["p50_ttft_ms"].(map[string]any); r["median"] != 0.25 {
		t.Errorf("ratio of TTFT = %v, want 50 over 200", r)
	}
}

func TestTable(t *testing.T) {
	var out strings.Builder
	if err := report().Table(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"1 stream", "good req/s", "1.00 (1.00 to 1.00)", "1.300", "3.03% of a core"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("table lacks %q:\n%s", want, out.String())
		}
	}
}

// The page refers to no other host, and names in it are text.
func TestHTMLIsSelfContained(t *testing.T) {
	var out strings.Builder
	if err := report().HTML(&out); err != nil {
		t.Fatal(err)
	}
	page := strings.Replace(out.String(), chartLibrary, "", 1)
	if len(page) == out.Len() {
		t.Error("the chart library is not in the page")
	}
	for _, bad := range []string{"<script>alert", "src=", "href=", "@import", "url(", "https://"} {
		if strings.Contains(page, bad) {
			t.Errorf("page holds %q", bad)
		}
	}
	for _, want := range []string{"Quality against speed", "Size and memory", "<svg", "default-src 'none'"} {
		if !strings.Contains(page, want) {
			t.Errorf("page lacks %q", want)
		}
	}
}

// Each target has one color in all charts, and the lines of one target differ.
func TestColorsOfTargets(t *testing.T) {
	r := report()
	colors := map[string]map[string]bool{}
	note := func(name, color string) {
		if colors[name] == nil {
			colors[name] = map[string]bool{}
		}
		colors[name][color] = true
	}
	for i, b := range r.bars() {
		note(r.Results[i].Target.Name, b.Color)
	}
	for _, c := range r.charts() {
		encoded, err := json.Marshal(c.Option["series"])
		if err != nil {
			t.Fatal(err)
		}
		var series []struct {
			Name      string
			Type      string
			ItemStyle struct{ Color string }
			LineStyle struct{ Color, Type string }
		}
		if err := json.Unmarshal(encoded, &series); err != nil {
			t.Fatal(err)
		}
		lines := map[string]bool{}
		for _, s := range series {
			if s.Type == "bar" {
				continue
			}
			note(s.Name, s.ItemStyle.Color)
			if s.Type == "line" && (s.LineStyle.Color != s.ItemStyle.Color || lines[s.Name+s.LineStyle.Type]) {
				t.Errorf("%s: the lines of %s look the same: %+v", c.Title, s.Name, s.LineStyle)
			}
			lines[s.Name+s.LineStyle.Type] = true
		}
	}
	if len(colors) != 2 {
		t.Fatalf("colors of %v, want two targets", colors)
	}
	for name, all := range colors {
		if len(all) != 1 {
			t.Errorf("%s has the colors %v", name, all)
		}
	}
}
