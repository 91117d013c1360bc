package server

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/gofiber/fiber/v2"

	"prunellm/openapi"
)

const (
	maxHeaderBytes = 32 << 10
	// maxStrangerBytes bounds the body of a request without a valid key, if the server needs keys.
	maxStrangerBytes = 64 << 10
	// maxConnections bounds the resources of clients that only hold connections open.
	maxConnections = 4096
	// closeTimeout bounds how long responses may take to be written after their requests were cut off.
	closeTimeout = 3 * time.Second
)

// Server serves HTTP requests with the variants of Models.
type Server struct {
	options Options
	log     *slog.Logger
	metrics *metrics
	limiter *limiter       // nil: no rate limit
	stored  *responseStore // nil: responses are not stored
	app     *fiber.App
	hosts   hosts
	origins origins

	base   context.Context // of all jobs
	cancel context.CancelCauseFunc

	mu       sync.Mutex
	stopping bool // no new job may start
	jobs     sync.WaitGroup
}

// New returns a server and registers its metrics. It accepts no request before Serve.
func New(options Options) (*Server, error) {
	options.setDefaults()
	if err := options.validate(); err != nil {
		return nil, fmt.Errorf("server options: %w", err)
	}
	metrics, err := newMetrics(options.Registry, options.Models)
	if err != nil {
		return nil, err
	}
	s := &Server{options: options, log: options.Log, metrics: metrics}
	if s.hosts, err = parseHosts(options.AllowedHosts); err != nil {
		return nil, fmt.Errorf("server options: %w", err)
	}
	if s.origins, err = parseOrigins(options.AllowedOrigins); err != nil {
		return nil, fmt.Errorf("server options: %w", err)
	}
	s.stored = newResponseStore(options.ResponseStoreBytes, options.APIKeys != nil)
	if options.RateLimit > 0 {
		s.limiter = newLimiter(options.RateLimit)
	}
	s.base, s.cancel = context.WithCancelCause(context.Background())
	s.app = fiber.New(fiber.Config{
		AppName:                      "prunellm",
		DisableStartupMessage:        true,
		CaseSensitive:                true,
		ErrorHandler:                 s.handleError,
		BodyLimit:                    options.MaxBodyBytes,
		ReadBufferSize:               maxHeaderBytes,
		Concurrency:                  maxConnections,
		ReadTimeout:                  options.ReadTimeout,
		IdleTimeout:                  options.IdleTimeout,
		DisablePreParseMultipartForm: true,
	})
	if err := s.route(); err != nil {
		return nil, err
	}
	s.app.Server().Handler = s.outermost(s.app.Handler())
	s.app.Server().HeaderReceived = s.headerReceived
	s.app.Server().Logger = quiet{s.log}
	return s, nil
}

// quiet logs fasthttp's own messages at debug level without their arguments, which may quote the request.
type quiet struct{ log *slog.Logger }

// Printf implements fasthttp.Logger.
func (q quiet) Printf(format string, _ ...any) { q.log.Debug("connection", "complaint", format) }

func (s *Server) route() error {
	app := s.app
	app.Use(s.observe, s.checkHost, answerPreflight)
	if s.options.Tracing != nil {
		app.Use(s.traced())
	}
	if err := s.routeWeb(app); err != nil {
		return err
	}
	s.routeDocs(app)
	s.routeAdmin(app)
	app.Get("/healthz", s.healthz)
	app.Get("/health", s.healthz)
	app.Get("/readyz", s.readyz)
	app.Get("/version", s.version)
	app.Get("/metrics", s.metricsHandler())
	for _, document := range openapi.Documents() {
		app.Get(document.Path+".yaml", sends("application/yaml", document.YAML))
		app.Get(document.Path+".json", sends(fiber.MIMEApplicationJSON, document.JSON))
	}

	app.Get("/v1/models", s.requireKey, s.listModels)
	app.Get("/v1/models/*", s.requireKey, s.getModel)
	app.Post("/v1/chat/completions", s.requireKey, s.limitRate, requireJSON, s.generates(s.chat))
	app.Post("/v1/completions", s.requireKey, s.limitRate, requireJSON, s.generates(s.completion))
	app.Post("/infill", s.requireKey, s.limitRate, requireJSON, s.generates(s.infill))
	app.Post("/v1/responses", s.requireKey, s.limitRate, requireJSON, s.generates(s.response))
	app.Post("/v1/responses/input_tokens", s.requireKey, s.limitRate, requireJSON, s.uses(s.inputTokens))
	app.Get("/v1/responses/:id", s.requireKey, s.stored.get)
	app.Delete("/v1/responses/:id", s.requireKey, s.stored.delete)
	app.Post("/v1/messages", s.requireKey, s.limitRate, requireJSON, s.generates(s.messages))
	app.Post("/v1/messages/count_tokens", s.requireKey, s.limitRate, requireJSON, s.uses(s.countTokens))
	s.routeOllama(app)
	app.Post("/v1/embeddings", s.requireKey, s.limitRate, requireJSON, s.uses(s.embedding))
	app.Get("/props", s.requireKey, s.props)
	app.Get("/slots", s.requireKey, s.slots)
	for _, path := range rerankPaths {
		app.Post(path, s.requireKey, s.rerank)
	}
	app.Post("/tokenize", s.requireKey, s.limitRate, requireJSON, s.uses(s.tokenize))
	app.Get("/tokenizer_info", s.requireKey, s.uses(s.tokenizerInfo))
	app.Post("/detokenize", s.requireKey, s.limitRate, requireJSON, s.uses(s.detokenize))
	app.Post("/apply-template", s.requireKey, s.limitRate, requireJSON, s.uses(s.applyTemplate))
	return nil
}

// Serve serves requests on ln until ctx ends. Then it accepts no more connections, gives running requests StopTimeout
// to finish, cuts off the rest and returns nil. It may be called once.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	below := newListener(ln, s.options.WriteTimeout, s.log)
	var top net.Listener = below
	if s.options.TLS != nil {
		top = tls.NewListener(below, s.options.TLS)
	}
	served := make(chan error, 1) // a client that does not read must not delay the end of Serve
	go func() { served <- s.app.Listener(top) }()
	select {
	case err := <-served:
		s.stop(below)
		return err
	case <-ctx.Done():
		s.stop(below)
		return <-served
	}
}

// stop takes at most StopTimeout plus twice closeTimeout.
func (s *Server) stop(ln *listener) {
	s.mu.Lock()
	s.stopping = true
	s.mu.Unlock()
	_ = ln.Close() // the server stops in any case
	done := make(chan struct{})
	go func() {
		s.jobs.Wait()
		close(done)
	}()
	if !waitFor(done, s.options.StopTimeout) {
		s.log.Warn("requests cut off", "after", s.options.StopTimeout)
	}
	s.cancel(errStopping)
	waitFor(done, closeTimeout)
	if err := s.app.ShutdownWithTimeout(closeTimeout); err != nil {
		s.log.Debug("connections closed", "error", err)
	}
	ln.closeConnections()
}

func waitFor(done <-chan struct{}, limit time.Duration) bool {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}

// fingerprint changes whenever the answer to the same seed may change: with the variant, its file and the version.
func (s *Server) fingerprint(variant *Variant) string {
	sum := sha256.Sum256([]byte(s.options.Version + "\x00" + variant.Name + "\x00" + variant.Digest))
	return "fp_" + hex.EncodeToString(sum[:5])
}
