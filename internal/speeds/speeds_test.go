package speeds

import (
	"testing"
	"time"

	"prunellm/internal/bench"
	"prunellm/internal/variant"
)

func TestOf(t *testing.T) {
	stats := func(median, deviation float64) bench.Stats {
		return bench.Stats{SD: deviation, Percentiles: [4]float64{median}}
	}
	result := func(target string, streams int, ttft, itl float64) bench.Result {
		return bench.Result{Target: bench.Target{Name: target}, Load: bench.Load{Streams: streams}, TTFT: stats(ttft, ttft/4), TPOT: stats(itl, itl/8)}
	}
	report := &bench.Report{
		Plan:    bench.Plan{Prompt: bench.Exactly(bench.SpeedPrompt)},
		Results: []bench.Result{result("m@0", 1, 90, 9), result("m@0", 4, 300, 30), result("m@0.2", 1, 80, 8), result("m@0.4", 4, 70, 7), result("m@0.5", 1, 0, 0)},
	}
	want := variant.Speed{
		TTFTMillis: 80, ITLMillis: 8, OutputTokensPerSecond: 125, PromptTokens: bench.SpeedPrompt, TTFTSpread: 0.5, ITLSpread: 0.25, MeasuredAt: 7,
	}
	if got, ok := Of(report, "m@0.2", time.Unix(7, 0)); !ok || got != want {
		t.Errorf("Of = %+v, %t, want %+v", got, ok, want)
	}
	for _, target := range []string{"m@0.4", "m@0.5", "m@0.6"} { // four streams alone, no answers, not measured
		if got, ok := Of(report, target, time.Unix(7, 0)); ok {
			t.Errorf("Of %s = %+v, want none", target, got)
		}
	}
	report.Plan.Prompt = bench.Exactly(bench.SpeedPrompt + 1)
	if got, ok := Of(report, "m@0.2", time.Unix(7, 0)); ok {
		t.Errorf("Of a report with longer prompts = %+v, want none", got)
	}
}
