package bench

import (
	"encoding/json"
	"math"
	"slices"
	"time"
)

// SLO holds the limits of a good request; a limit of 0 does not apply.
type SLO struct {
	TTFT time.Duration // time to the first token
	ITL  time.Duration // mean time per output token after the first
	E2E  time.Duration // time to the end of the answer
}

// Set reports whether any limit applies.
func (s SLO) Set() bool { return s != SLO{} }

// keeps reports whether a request kept all limits.
func (s SLO) keeps(x Sample) bool {
	within := func(v, limit time.Duration) bool { return limit == 0 || v <= limit }
	return x.Err == nil && within(x.First, s.TTFT) && within(x.TPOT(), s.ITL) && within(x.End, s.E2E)
}

// Percentiles that are reported.
var percentiles = []int{50, 90, 95, 99}

// Stats describes times in milliseconds.
type Stats struct {
	Mean, SD    float64
	Percentiles [4]float64 // as in percentiles
}

// P50, P95 and P99 name some of the percentiles.
func (s Stats) P50() float64 { return s.Percentiles[0] }

// P95 returns the 95th percentile.
func (s Stats) P95() float64 { return s.Percentiles[2] }

// P99 returns the 99th percentile.
func (s Stats) P99() float64 { return s.Percentiles[3] }

// newStats sorts its argument. The percentile q of n values is the value at index floor(q*n): a share q of the values is below
// it.
func newStats(times []time.Duration) (s Stats) {
	if len(times) == 0 {
		return s
	}
	slices.Sort(times)
	sum, squares := 0.0, 0.0
	for _, t := range times {
		ms := milliseconds(t)
		sum += ms
		squares += ms * ms
	}
	n := float64(len(times))
	s.Mean = sum / n
	s.SD = math.Sqrt(max(0, squares/n-s.Mean*s.Mean))
	for i, q := range percentiles {
		s.Percentiles[i] = milliseconds(times[min(len(times)-1, q*len(times)/100)])
	}
	return s
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// Result summarizes all rounds of a target at a load.
type Result struct {
	Target Target
	Load   Load
	SLO    SLO

	Completed, Failed          int
	PromptTokens, OutputTokens int
	Took                       time.Duration // of all rounds
	RequestThroughput          float64       // completed requests per second, median of rounds
	Goodput                    float64       // good requests per second, median of rounds
	OutputThroughput           float64       // tokens/s, median of rounds
	TotalThroughput            float64       // the same with prompts
	OutputSpread               [2]float64    // lowest and highest OutputThroughput of a round

	TTFT Stats // to the first text of a request
	ITL  Stats // between two events with text
	TPOT Stats // mean of a request's tokens after the first
	E2E  Stats // to the end of the answer

	Baseline string           // the target that Ratios compare with
	Ratios   map[string]Ratio // this target relative to the baseline, by round; nil for the baseline itself
	// FirstError is the error of one failed request.
	FirstError string
}

// Ratio compares two targets. It has the median and the range over rounds of one target's figure divided by the other's in the
// same round.
type Ratio struct {
	Median float64 `json:"median"`
	Low    float64 `json:"low"`
	High   float64 `json:"high"`
}

func newResult(target Target, plan Plan, load Load, rounds []round) Result {
	r := Result{Target: target, Load: load, SLO: plan.SLO}
	var ttft, itl, tpot, e2e []time.Duration
	var figures [4][]float64
	for _, one := range rounds {
		r.Took += one.took
		for _, s := range one.samples {
			if s.Err != nil {
				r.Failed++
				if r.FirstError == "" {
					r.FirstError = s.Err.Error()
				}
				continue
			}
			r.Completed++
			r.PromptTokens += s.PromptTokens
			r.OutputTokens += s.OutputTokens
			ttft = append(ttft, s.First)
			itl = append(itl, s.Gaps...)
			e2e = append(e2e, s.End)
			if s.OutputTokens > 1 {
				tpot = append(tpot, s.TPOT())
			}
		}
		for i, v := range one.throughput(plan.SLO) {
			figures[i] = append(figures[i], v)
		}
	}
	r.OutputSpread = [2]float64{slices.Min(figures[2]), slices.Max(figures[2])}
	r.RequestThroughput, r.Goodput = median(figures[0]), median(figures[1])
	r.OutputThroughput, r.TotalThroughput = median(figures[2]), median(figures[3])
	r.TTFT, r.ITL, r.TPOT, r.E2E = newStats(ttft), newStats(itl), newStats(tpot), newStats(e2e)
	return r
}

// throughput returns requests, good requests, output tokens and all tokens per second.
func (r round) throughput(slo SLO) [4]float64 {
	var v [4]float64
	for _, s := range r.samples {
		if s.Err != nil {
			continue
		}
		v[0]++
		if slo.keeps(s) {
			v[1]++
		}
		v[2] += float64(s.OutputTokens)
		v[3] += float64(s.OutputTokens + s.PromptTokens)
	}
	for i := range v {
		v[i] /= r.took.Seconds()
	}
	return v
}

// Names of ratios.
const (
	ratioOutput = "output_throughput"
	ratioTTFT   = "p50_ttft_ms"
	ratioTPOT   = "p50_tpot_ms"
	ratioE2E    = "p50_e2el_ms"
)

// ratios compares two targets round by round.
func ratios(mine, theirs []round, slo SLO) map[string]Ratio {
	figures := func(r round) map[string]float64 {
		var ttft, tpot, e2e []time.Duration
		for _, s := range r.samples {
			if s.Err == nil {
				ttft, tpot, e2e = append(ttft, s.First), append(tpot, s.TPOT()), append(e2e, s.End)
			}
		}
		return map[string]float64{
			ratioOutput: r.throughput(slo)[2], ratioTTFT: newStats(ttft).P50(), ratioTPOT: newStats(tpot).P50(), ratioE2E: newStats(e2e).P50(),
		}
	}
	values := map[string][]float64{}
	for i := range min(len(mine), len(theirs)) {
		theirFigures := figures(theirs[i])
		for name, v := range figures(mine[i]) {
			if theirFigures[name] > 0 {
				values[name] = append(values[name], v/theirFigures[name])
			}
		}
	}
	out := map[string]Ratio{}
	for name, v := range values {
		out[name] = Ratio{Median: median(v), Low: slices.Min(v), High: slices.Max(v)}
	}
	return out
}

// median returns the median, or for an even number of values the mean of the middle two.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// MarshalJSON writes the keys of `vllm bench serve`, with percentiles 50, 90, 95 and 99, and the description of the model.
func (r Result) MarshalJSON() ([]byte, error) {
	out := map[string]any{
		"label": r.Target.Name, "model_id": r.Target.Model, "num_prompts": r.Completed + r.Failed,
		"completed": r.Completed, "failed": r.Failed, "duration": r.Took.Seconds(),
		"total_input_tokens": r.PromptTokens, "total_output_tokens": r.OutputTokens,
		"request_throughput": r.RequestThroughput, "output_throughput": r.OutputThroughput, "total_token_throughput": r.TotalThroughput,
		"output_throughput_low": r.OutputSpread[0], "output_throughput_high": r.OutputSpread[1],
	}
	if r.Load.Rate > 0 {
		out["request_rate"], out["burstiness"], out["max_concurrency"] = r.Load.Rate, 1.0, nil
	} else {
		out["request_rate"], out["max_concurrency"] = "inf", r.Load.Streams
	}
	if r.SLO.Set() {
		out["request_goodput"] = r.Goodput
	}
	if r.Ratios != nil {
		out["baseline"], out["ratios"] = r.Baseline, r.Ratios
	}
	if r.FirstError != "" {
		out["first_error"] = r.FirstError
	}
	for name, s := range map[string]Stats{"ttft": r.TTFT, "itl": r.ITL, "tpot": r.TPOT, "e2el": r.E2E} {
		s.add(out, name)
	}
	if r.Target.About != nil {
		r.Target.About.add(out)
	}
	return json.Marshal(out)
}

func (s Stats) add(out map[string]any, name string) {
	out["mean_"+name+"_ms"], out["std_"+name+"_ms"], out["median_"+name+"_ms"] = s.Mean, s.SD, s.P50()
	out["p50_"+name+"_ms"], out["p90_"+name+"_ms"] = s.P50(), s.Percentiles[1]
	out["p95_"+name+"_ms"], out["p99_"+name+"_ms"] = s.P95(), s.P99()
}

func (a *About) add(out map[string]any) {
	out["ratio"], out["ratio_reached"] = a.Ratio, a.RatioReached
	out["parameters"], out["bytes"] = a.Parameters, a.Bytes
	if a.MemoryBytes > 0 {
		out["memory_bytes"] = a.MemoryBytes
	}
	for key, v := range map[string]*float64{
		"perplexity": a.Perplexity, "perplexity_ratio": a.PerplexityRatio, "kl_to_dense": a.KLToDense, "top1_agreement": a.Top1Agreement,
	} {
		if v != nil {
			out[key] = *v
		}
	}
}
