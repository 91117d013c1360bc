package server

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"prunellm/internal/chat"
	"prunellm/openapi"
)

// Options configure a Server. Limits and timeouts that are zero get the defaults below.
type Options struct {
	Models   Models
	Chat     *chat.Template   // the model's, shared by all variants
	Facts    Facts            // about the model
	Thinking openapi.Thinking // Enabled and Budget are the defaults of requests
	Sampling openapi.Sampling // the defaults of requests; the zero value means openapi.DefaultSampling
	Admin    Admin            // nil: no admin endpoints
	Log      *slog.Logger
	Registry *prometheus.Registry // where the server registers its metrics; /metrics shows everything in it
	// VLLMMetrics makes /metrics show metrics under vLLM's names, too.
	VLLMMetrics bool
	Version     string // prunellm's version, for /version and system_fingerprint

	// APIKeys returns the keys that are valid now. nil: no key is needed. If it returns none, the server refuses all
	// requests.
	APIKeys func() []string
	// AllowedHosts are names that the Host header may have besides loopback names and addresses; see ParseHosts.
	AllowedHosts []string
	// AllowedOrigins are the origins whose pages may use the API from a browser; see ParseOrigins.
	AllowedOrigins []string

	// RateLimit is the number of requests per minute for each key, or for each address if no keys are needed. 0: no
	// limit.
	RateLimit int

	// ResponseStoreBytes bounds the responses that /v1/responses keeps in memory for each API key, so that later requests
	// can continue them. 0: none.
	ResponseStoreBytes int64

	// Tracing, if not nil, receives a span for each request and each generation.
	Tracing trace.TracerProvider

	// TLS, if not nil, wraps the listener passed to Serve.
	TLS *tls.Config

	MaxBodyBytes int           // default 8 MiB
	ReadTimeout  time.Duration // for a whole request, against clients that send slowly; default 30 s
	IdleTimeout  time.Duration // between requests of a connection; default 120 s
	WriteTimeout time.Duration // for each write, against clients that read slowly; default 10 s
	PingInterval time.Duration // silence in a stream before a ping; default 1 s
	Probe        time.Duration // how often to poll the sockets of running generations; default 500 ms
	StopTimeout  time.Duration // for running requests when the server stops; default 20 s
}

func (o *Options) setDefaults() {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Registry == nil {
		o.Registry = prometheus.NewRegistry()
	}
	if o.Sampling == (openapi.Sampling{}) {
		o.Sampling = openapi.DefaultSampling
	}
	if o.MaxBodyBytes == 0 {
		o.MaxBodyBytes = 8 << 20
	}
	for _, d := range []struct {
		value    *time.Duration
		fallback time.Duration
	}{
		{&o.ReadTimeout, 30 * time.Second},
		{&o.IdleTimeout, 120 * time.Second},
		{&o.WriteTimeout, 10 * time.Second},
		{&o.PingInterval, time.Second},
		{&o.Probe, 500 * time.Millisecond},
		{&o.StopTimeout, 20 * time.Second},
	} {
		if *d.value == 0 {
			*d.value = d.fallback
		}
	}
}

func (o *Options) validate() error {
	var errs []error
	if o.Models == nil {
		errs = append(errs, errors.New("option Models must not be nil"))
	}
	if o.Chat == nil {
		errs = append(errs, errors.New("option Chat must not be nil"))
	}
	if o.RateLimit < 0 {
		errs = append(errs, errors.New("RateLimit must not be negative"))
	}
	if o.ResponseStoreBytes < 0 {
		errs = append(errs, errors.New("ResponseStoreBytes must not be negative"))
	}
	if o.MaxBodyBytes < 0 {
		errs = append(errs, errors.New("MaxBodyBytes must not be negative"))
	}
	for _, d := range []time.Duration{o.ReadTimeout, o.IdleTimeout, o.WriteTimeout, o.PingInterval, o.Probe, o.StopTimeout} {
		if d < 0 {
			errs = append(errs, errors.New("timeouts must not be negative"))
		}
	}
	return errors.Join(errs...)
}
