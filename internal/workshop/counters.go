package workshop

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"prunellm/internal/metric"
	"prunellm/internal/store"
)

// Counters are the metrics of making variants.
type Counters struct {
	scorePasses prometheus.Counter
	scoreTime   prometheus.Histogram
	corrupt     prometheus.Counter
	leases      *leaseGauge
	Builds      prometheus.Counter
	improved    *prometheus.CounterVec
	cacheBytes  *prometheus.GaugeVec
	hits        *prometheus.CounterVec
	misses      *prometheus.CounterVec
}

// NewCounters registers the metrics.
func NewCounters(registry *prometheus.Registry) *Counters {
	c := &Counters{
		scorePasses: metric.NewCounter(metric.ScorePasses),
		scoreTime:   metric.NewHistogram(metric.ScoreSeconds),
		corrupt:     metric.NewCounter(metric.CacheCorrupt),
		leases:      &leaseGauge{gauge: metric.NewGauge(metric.LeaseHeld)},
		Builds:      metric.NewCounter(metric.VariantBuilds),
		improved:    metric.NewCounterVec(metric.Improvements),
		cacheBytes:  metric.NewGaugeVec(metric.CacheBytes),
		hits:        metric.NewCounterVec(metric.CacheHits),
		misses:      metric.NewCounterVec(metric.CacheMisses),
	}
	registry.MustRegister(c.scorePasses, c.scoreTime, c.corrupt, c.leases.gauge, c.Builds, c.improved, c.cacheBytes, c.hits, c.misses)
	return c
}

// scored counts a score pass.
func (c *Counters) scored(took time.Duration) {
	c.scorePasses.Inc()
	c.scoreTime.Observe(took.Seconds())
}

// Tried counts attempts at a stage of the startup variant. With 0 attempts it makes /metrics show the series.
func (c *Counters) Tried(stage, outcome string, attempts int) {
	c.improved.WithLabelValues(stage, outcome).Add(float64(attempts))
}

// leaseGauge is 1 while any lease is held.
type leaseGauge struct {
	mu    sync.Mutex
	held  int
	gauge prometheus.Gauge
}

func (l *leaseGauge) changed(held bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if held {
		l.held++
	} else {
		l.held--
	}
	l.gauge.Set(float64(min(l.held, 1)))
}

func (c *Counters) hooks() store.Hooks {
	return store.Hooks{
		OnHit:     func(store string, kind store.Kind) { c.hits.WithLabelValues(store, string(kind)).Inc() },
		OnMiss:    func(store string, kind store.Kind) { c.misses.WithLabelValues(store, string(kind)).Inc() },
		OnCorrupt: func(string, store.Kind) { c.corrupt.Inc() },
		OnLease:   c.leases.changed,
	}
}

// sharedSizes sets the sizes of a model's values in Redis. A kind without values has size 0.
func (c *Counters) sharedSizes(sizes map[store.Kind]int64) {
	for _, kind := range store.Kinds() {
		c.cacheBytes.WithLabelValues("redis", string(kind)).Set(float64(sizes[kind]))
	}
}
