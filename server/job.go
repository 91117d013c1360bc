package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/gofiber/fiber/v2"
	"go.opentelemetry.io/otel/trace"

	"prunellm/infer"
	"prunellm/openapi"
)

var (
	errClientGone = errors.New("the client closed the connection")
	errStopping   = errors.New("the server is stopping")
	errDone       = errors.New("the response is complete")
)

// job is one request that uses a variant, from its arrival to the end of its response. Its context ends when the client
// disconnects, when the server must stop, and at the latest with end.
//
// # Concurrency
//
// The handler owns it until handOver; then the stream writer owns it. end waits for every goroutine that the job
// started.
type job struct {
	server    *Server
	requestID string
	ctx       context.Context
	cancel    context.CancelCauseFunc
	started   time.Time
	variant   *Variant // nil until acquired
	readers   sync.WaitGroup
	streaming bool // the stream writer owns the job
	generates bool // counted as a generation request
	tally     *tally
	trace     trace.Span // nil without tracing
}

// generates wraps the handler of an endpoint that generates text.
func (s *Server) generates(handle func(*fiber.Ctx, *job) error) fiber.Handler {
	return s.withJob(handle, true)
}

// uses wraps the handler of an endpoint that needs a variant but generates nothing.
func (s *Server) uses(handle func(*fiber.Ctx, *job) error) fiber.Handler {
	return s.withJob(handle, false)
}

func (s *Server) withJob(handle func(*fiber.Ctx, *job) error, generates bool) fiber.Handler {
	return func(c *fiber.Ctx) error {
		j, err := s.begin(requestID(c), c.Context().Conn(), generates)
		if err != nil {
			return err
		}
		j.trace = j.span(c)
		defer func() {
			if !j.streaming {
				j.end()
			}
		}()
		return handle(c, j)
	}
}

func (s *Server) begin(requestID string, client net.Conn, generates bool) (*job, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return nil, errStopping
	}
	s.jobs.Add(1)
	if generates {
		s.metrics.inFlight.Inc()
	}
	j := &job{server: s, requestID: requestID, started: time.Now(), generates: generates}
	j.ctx, j.cancel = context.WithCancelCause(s.base)
	j.readers.Go(func() { j.watch(client, s.options.Probe) })
	return j, nil
}

// watch cancels the job when the client's socket is closed.
func (j *job) watch(client net.Conn, every time.Duration) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-j.ctx.Done():
			return
		case <-ticker.C:
			if peerGone(client) {
				j.cancel(errClientGone)
				return
			}
		}
	}
}

// end stops the job's goroutines and releases the variant. It must be called exactly once.
func (j *job) end() {
	j.cancel(errDone)
	j.readers.Wait()
	j.endSpan(j.trace)
	if j.tally != nil {
		j.tally.record(j.server.metrics)
		usage := j.tally.total()
		j.server.log.Info("generation ended", "request_id", j.requestID, "variant", j.variant.Name, "stage", j.variant.Stage,
			"digest", j.variant.Digest, "complete", j.tally.complete(),
			"prompt_tokens", usage.PromptTokens, "completion_tokens", usage.CompletionTokens,
			"first_token", j.tally.first, "duration", time.Since(j.started))
	}
	if j.variant != nil {
		j.variant.Release()
	}
	if j.generates {
		j.server.metrics.inFlight.Dec()
	}
	j.server.jobs.Done()
}

// acquire pins the variant for this request and sets the response's headers that name it.
func (j *job) acquire(c *fiber.Ctx, name openapi.ModelName) error {
	if err := j.pin(name, waits(c)); err != nil {
		return err
	}
	j.nameVariant(c)
	return nil
}

// nameVariant sets the response's headers that name the variant and its file.
func (j *job) nameVariant(c *fiber.Ctx) {
	c.Set(headerVariant, j.variant.Name)
	c.Set(headerStage, j.variant.Stage)
	c.Set(headerDigest, j.variant.Digest)
}

// pin acquires the variant. If wait is false and the variant is not loaded, pin starts making it and returns a
// *NotReadyError.
func (j *job) pin(name openapi.ModelName, wait bool) error {
	ctx := j.ctx
	if !wait {
		ended, end := context.WithCancel(ctx)
		end()
		ctx = ended
	}
	variant, err := j.server.options.Models.Acquire(ctx, name)
	switch {
	case err == nil:
		j.variant = variant
		return nil
	case !wait && j.ctx.Err() == nil && errors.Is(err, context.Canceled):
		return &NotReadyError{Progress: "it is being made"}
	}
	return j.cause(err)
}

// waits reports whether the client waits while a variant is made. It does unless a header says otherwise.
func waits(c *fiber.Ctx) bool {
	if strings.EqualFold(c.Get(headerWait), "false") {
		return false
	}
	for preference := range strings.SplitSeq(c.Get("Prefer"), ",") {
		if strings.EqualFold(strings.TrimSpace(preference), "respond-async") {
			return false
		}
	}
	return true
}

// cause returns the reason that ended the job's context instead of the context's own error.
func (j *job) cause(err error) error {
	if j.ctx.Err() != nil && errors.Is(err, j.ctx.Err()) {
		return context.Cause(j.ctx)
	}
	return err
}

// event is one step of one choice. An err ends the whole request.
type event struct {
	choice int
	chunk  infer.Chunk
	err    error
}

// start submits n answers to each request. The channel yields the chunks of all of them and is closed after the last;
// answer i to request p is choice p*n+i. If one cannot be submitted, start cancels the earlier ones.
func (j *job) start(requests []infer.Request, n int) (<-chan event, error) {
	var generations []infer.Generation
	for _, request := range requests {
		more, err := j.submit(request, n)
		if err != nil {
			j.cancel(errDone)
			return nil, err
		}
		generations = append(generations, more...)
	}
	return j.follow(generations), nil
}

// follow yields the chunks of generations; those of generation i are choice i. The channel is closed after the last.
func (j *job) follow(generations []infer.Generation) <-chan event {
	// One slot per choice lets each reader fetch the next chunk while the previous one is being written.
	events := make(chan event, len(generations))
	var readers sync.WaitGroup
	for i, generation := range generations {
		readers.Go(func() { j.read(i, generation, events) })
	}
	j.readers.Go(func() {
		readers.Wait()
		close(events)
	})
	return events
}

func (j *job) submit(request infer.Request, n int) ([]infer.Generation, error) {
	if n > 1 && !request.PromptLogprobs {
		return j.variant.SubmitN(j.ctx, request, n)
	}
	generations := make([]infer.Generation, n)
	for i := range generations {
		var err error
		if generations[i], err = j.variant.Submit(j.ctx, request); err != nil {
			return nil, err
		}
		request.Sampling.Seed++
	}
	return generations, nil
}

// read forwards the chunks of one choice until it finishes, fails or the job ends.
func (j *job) read(choice int, generation infer.Generation, events chan<- event) {
	for {
		chunk, err := next(j.ctx, generation)
		select {
		case events <- event{choice, chunk, err}:
		case <-j.ctx.Done():
			return
		}
		if err != nil || chunk.Finish != "" {
			return
		}
	}
}

// next calls Generation.Next. It turns a panic, or an end without a reason, into an error.
func next(ctx context.Context, generation infer.Generation) (chunk infer.Chunk, err error) {
	defer func() {
		if reason := recover(); reason != nil {
			err = fmt.Errorf("panic in generation: %v\n%s", reason, debug.Stack())
		}
	}()
	chunk, err = generation.Next(ctx)
	if errors.Is(err, io.EOF) {
		err = fmt.Errorf("%w: the generation ended without a reason", infer.ErrEngine)
	}
	return chunk, err
}
