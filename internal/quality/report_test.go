package quality

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestReportTable(t *testing.T) {
	text := func(perplexity float64) *TextFigures {
		return &TextFigures{Perplexity: perplexity, KLToDense: 0.5, Top1Agreement: 0.75}
	}
	tasks := &TaskResult{Tasks: 8, Accuracy: 0.5, AccuracyStderr: 0.1, Normalized: 0.25, NormalizedStderr: 0.2}
	for name, c := range map[string]struct {
		report Report
		want   []string
		not    string
	}{
		"text": {Report{Model: "m", Window: 16, Windows: 2, Variants: []Variant{{TextFigures: text(10)}, {Ratio: 0.2, TextFigures: text(15)}}},
			[]string{"m, 2 windows of 16 tokens", "perplexity", "1.500"}, "accuracy"},
		"no dense": {Report{Windows: 2, Variants: []Variant{{Ratio: 0.2, TextFigures: text(15)}}}, []string{"-"}, "1.0"},
		"tasks":    {Report{Model: "m", Variants: []Variant{{Tasks: tasks}}}, []string{"m, 8 tasks", "0.5000", "0.2500"}, "perplexity"},
		"both":     {Report{Windows: 1, Variants: []Variant{{TextFigures: text(1), Tasks: tasks}}}, []string{"perplexity", "accuracy"}, "-0"},
	} {
		var out strings.Builder
		if err := c.report.Table(&out); err != nil {
			t.Fatal(err)
		}
		for _, want := range c.want {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s: the table lacks %q:\n%s", name, want, out.String())
			}
		}
		if strings.Contains(out.String(), c.not) {
			t.Errorf("%s: the table has %q:\n%s", name, c.not, out.String())
		}
	}
	encoded, err := json.Marshal(Report{Variants: []Variant{{Tasks: tasks}}})
	if err != nil || strings.Contains(string(encoded), "perplexity") {
		t.Errorf("without a text the JSON is %s, %v, want no perplexity", encoded, err)
	}
}
