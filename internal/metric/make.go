package metric

import "github.com/prometheus/client_golang/prometheus"

// NewCounter returns the counter of a row without labels. Like all functions here it panics if there is no such row.
func NewCounter(name string) prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts(options(row(name, Counter))))
}

// NewCounterVec returns the counter of a row with labels.
func NewCounterVec(name string) *prometheus.CounterVec {
	r := row(name, Counter)
	return prometheus.NewCounterVec(prometheus.CounterOpts(options(r)), r.Labels)
}

// NewGauge returns the gauge of a row without labels.
func NewGauge(name string) prometheus.Gauge {
	return prometheus.NewGauge(prometheus.GaugeOpts(options(row(name, Gauge))))
}

// NewGaugeFunc returns the gauge of a row without labels whose value f returns.
func NewGaugeFunc(name string, f func() float64) prometheus.GaugeFunc {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts(options(row(name, Gauge))), f)
}

// NewGaugeVec returns the gauge of a row with labels.
func NewGaugeVec(name string) *prometheus.GaugeVec {
	r := row(name, Gauge)
	return prometheus.NewGaugeVec(prometheus.GaugeOpts(options(r)), r.Labels)
}

// NewHistogram returns the histogram of a row.
func NewHistogram(name string) prometheus.Histogram {
	r := row(name, Histogram)
	return prometheus.NewHistogram(prometheus.HistogramOpts{Name: r.Name, Help: r.Help + ".", Buckets: r.Buckets})
}

func options(r Row) prometheus.Opts { return prometheus.Opts{Name: r.Name, Help: r.Help + "."} }
