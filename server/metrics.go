package server

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the server's own; names follow vLLM's where they fit.
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
}

func newMetrics(registry *prometheus.Registry) (*metrics, error) {
	histogram := func(name, help string, buckets ...float64) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{Name: "prunellm_" + name, Help: help, Buckets: buckets})
	}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "prunellm_" + name, Help: help})
	}
	m := &metrics{
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "prunellm_requests_in_flight", Help: "Generation requests being answered, waiting ones included.",
		}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "prunellm_http_requests_total", Help: "HTTP requests by method, route and status.",
		}, []string{"method", "route", "status"}),
		success: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "prunellm_request_success_total", Help: "Finished answers by the reason they ended with.",
		}, []string{"finished_reason"}),
		firstToken: histogram("time_to_first_token_seconds", "From a generation request's arrival to its first token.",
			.001, .005, .01, .02, .04, .06, .08, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10, 20, 40, 80),
		interToken: histogram("inter_token_latency_seconds", "Between a token and the next of the same answer.",
			.001, .0025, .005, .0075, .01, .015, .02, .025, .05, .075, .1, .15, .2, .3, .4, .5, .75, 1, 2.5),
		endToEnd: histogram("e2e_request_latency_seconds", "From a generation request's arrival to its last token.",
			.05, .1, .2, .3, .5, .8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480),
		queueTime: histogram("request_queue_time_seconds", "From a generation's submission until it was given a place in the batch.",
			.0001, .001, .005, .01, .05, .1, .3, .5, 1, 2, 5, 10, 20, 40, 60, 120),
		promptTokens:     counter("prompt_tokens_total", "Prompt tokens of all requests."),
		generationTokens: counter("generation_tokens_total", "Tokens generated, those of abandoned answers included."),
	}
	for _, c := range []prometheus.Collector{
		m.inFlight, m.requests, m.success, m.firstToken, m.interToken, m.endToEnd, m.queueTime, m.promptTokens, m.generationTokens,
	} {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return m, nil
}
