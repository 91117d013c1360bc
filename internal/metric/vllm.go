package metric

import (
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// AsVLLM returns a gatherer of what from has and, once more by vLLM's names, of the metrics that vLLM has. Those have the label
// model_name, as vLLM's.
func AsVLLM(from prometheus.Gatherer, model string) prometheus.Gatherer {
	names := map[string][]string{}
	for _, r := range Rows() {
		names[r.Name] = r.VLLM
	}
	return prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
		families, err := from.Gather()
		all := slices.Clone(families)
		for _, family := range families {
			for _, name := range names[family.GetName()] {
				all = append(all, renamed(family, name, model))
			}
		}
		return all, err
	})
}

// renamed returns a family by another name, with the label model_name.
func renamed(family *dto.MetricFamily, name, model string) *dto.MetricFamily {
	label := "model_name"
	out := &dto.MetricFamily{Name: &name, Help: family.Help, Type: family.Type, Unit: family.Unit}
	for _, m := range family.Metric {
		labels := append(slices.Clone(m.Label), &dto.LabelPair{Name: &label, Value: &model})
		slices.SortFunc(labels, func(a, b *dto.LabelPair) int { return strings.Compare(a.GetName(), b.GetName()) })
		out.Metric = append(out.Metric, &dto.Metric{Label: labels, Counter: m.Counter, Gauge: m.Gauge, Histogram: m.Histogram, TimestampMs: m.TimestampMs})
	}
	return out
}
