package server

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"prunellm/internal/metric"
)

// metrics are the server's own metrics.
type metrics struct {
	inFlight         prometheus.Gauge
	requests         *prometheus.CounterVec
	success          *prometheus.CounterVec
	firstToken       prometheus.Histogram
	interToken       prometheus.Histogram
	endToEnd         prometheus.Histogram
	queueTime        prometheus.Histogram
	promptTokens     prometheus.Counter
	generationTokens prometheus.Counter
	prefixQueries    prometheus.Counter
	prefixHits       prometheus.Counter
	drafted          prometheus.Counter
	accepted         prometheus.Counter
}

// stageCollector tells which file answers for the startup variant at the time of a scrape.
type stageCollector struct{ models Models }

// Describe implements prometheus.Collector.
func (stageCollector) Describe(descriptions chan<- *prometheus.Desc) {
	metric.NewGaugeVec(metric.VariantStage).Describe(descriptions)
}

// Collect implements prometheus.Collector.
func (c stageCollector) Collect(metrics chan<- prometheus.Metric) {
	gauge := metric.NewGaugeVec(metric.VariantStage)
	if stage := c.models.Status().Stage; stage != "" {
		gauge.WithLabelValues(stage).Set(1)
	}
	gauge.Collect(metrics)
}

// newMetrics registers the metrics; some are read from models.
func newMetrics(registry *prometheus.Registry, models Models) (*metrics, error) {
	m := &metrics{
		inFlight:         metric.NewGauge(metric.InFlight),
		requests:         metric.NewCounterVec(metric.HTTPRequests),
		success:          metric.NewCounterVec(metric.RequestSuccess),
		firstToken:       metric.NewHistogram(metric.FirstToken),
		interToken:       metric.NewHistogram(metric.InterToken),
		endToEnd:         metric.NewHistogram(metric.EndToEnd),
		queueTime:        metric.NewHistogram(metric.QueueTime),
		promptTokens:     metric.NewCounter(metric.PromptTokens),
		generationTokens: metric.NewCounter(metric.GenerationTokens),
		prefixQueries:    metric.NewCounter(metric.PrefixQueries),
		prefixHits:       metric.NewCounter(metric.PrefixHits),
		drafted:          metric.NewCounter(metric.DraftTokens),
		accepted:         metric.NewCounter(metric.AcceptedTokens),
	}
	for _, c := range []prometheus.Collector{
		m.inFlight, m.requests, m.success, m.firstToken, m.interToken, m.endToEnd, m.queueTime, m.promptTokens, m.generationTokens,
		m.prefixQueries, m.prefixHits, m.drafted, m.accepted,
		metric.NewGaugeFunc(metric.RequestsWaiting, func() float64 { return float64(models.Load().Waiting) }),
		metric.NewGaugeFunc(metric.RequestsRunning, func() float64 { return float64(models.Load().Running) }),
		metric.NewGaugeFunc(metric.KVCacheUsage, func() float64 { return models.Load().usage() }),
		stageCollector{models},
	} {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return m, nil
}
