package infer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"prunellm/infer/gbnf"
)

// Options tunes an Engine. A field's zero value selects its default.
type Options struct {
	MaxQueue     int // requests that may wait for a sequence; default 256
	PrefillChunk int // prompt tokens of one step while no answer generates; default the decoder's batch size
	SharedChunk  int // prompt tokens of one step with as many running answers as prompts, which bounds inter-token latency; default three quarters of the batch size
	DraftMax     int // tokens of an answer to predict and verify in one step; default 0: none. See draft.go
	CopyAtLeast  int // shortest common prefix to copy from a busy sequence, in tokens; default 256, negative: never

	PromptCacheBytes int64 // budget of saved sequences; 0 saves none
	SaveAtLeast      int   // save a sequence that would lose at least this many tokens; default 64, on a GPU 1024

	// Admitted, if set, receives how long each request waited for a sequence. The loop calls it, so it must return at
	// once.
	Admitted func(waited time.Duration)
}

const (
	defaultMaxQueue    = 256
	defaultCopyAtLeast = 256
	defaultSaveAtLeast = 64
	// A GPU prefills a thousand tokens in about the time it takes to copy their KV cache to host memory and back, layer
	// by layer.
	deviceSaveAtLeast = 1024
)

// Info describes the model behind an engine.
type Info struct {
	VocabSize   int // tokens
	ContextSize int // tokens one request may hold, prompt and answer together
	Sequences   int // requests that run at the same time
}

// Stats counts the work of an engine, done and in progress.
type Stats struct {
	Queued           int    // requests that wait for a sequence
	Running          int    // requests that hold one
	PromptTokens     uint64 // prompt tokens of admitted requests
	CachedTokens     uint64 // of these, taken from the prompt cache
	CompletionTokens uint64 // tokens generated
	Steps            uint64 // batches decoded
	BatchTokens      uint64 // entries of these batches
	CacheTokens      int    // tokens in the KV caches of running requests
	CacheSize        int    // tokens that the KV caches of all sequences hold
}

// Engine runs requests on a Decoder, many at a time. It owns the Decoder and closes it.
//
// # Concurrency
//
// All methods may be called from any goroutine. One goroutine owns the decoder's context and the
// sequences; a few helper goroutines sample for it between two batches.
type Engine struct {
	dec  Decoder
	opts Options
	log  *slog.Logger

	mu      sync.Mutex
	waiting []*request // in order of arrival; moved to the loop as sequences become free
	closing bool       // no more requests
	wake    chan struct{}
	abort   chan struct{} // closed when Close stops waiting for running requests
	done    chan struct{} // closed when the loop has ended and the decoder is closed
	err     error         // why the loop ended by itself; set before done is closed

	abortOnce    sync.Once
	grammarIndex func() grammarIndex // created once
	endToken     func() Token        // likewise: one that ends an answer; -1 for none
	counters     counters
	slots        struct {
		mu  sync.Mutex
		all []Slot // by sequence
	}
}

type counters struct {
	queued, running, cacheUsed                     atomic.Int64
	prompt, cached, completion, steps, batchTokens atomic.Uint64
}

// New starts an engine on a decoder. A nil log is silent.
func New(dec Decoder, opts Options, log *slog.Logger) *Engine {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if opts.MaxQueue <= 0 {
		opts.MaxQueue = defaultMaxQueue
	}
	if opts.PrefillChunk <= 0 || opts.PrefillChunk > dec.BatchSize() {
		opts.PrefillChunk = dec.BatchSize()
	}
	if opts.SharedChunk <= 0 {
		opts.SharedChunk = max(dec.BatchSize()*3/4, 1)
	}
	if opts.CopyAtLeast == 0 {
		opts.CopyAtLeast = defaultCopyAtLeast
	}
	if opts.SaveAtLeast <= 0 {
		opts.SaveAtLeast = defaultSaveAtLeast
		if computesOnDevice(dec) {
			opts.SaveAtLeast = deviceSaveAtLeast
		}
	}
	e := &Engine{
		dec: dec, opts: opts, log: log,
		wake:  make(chan struct{}, 1), // a token means "check again"; one is enough
		abort: make(chan struct{}),
		done:  make(chan struct{}),

		grammarIndex: sync.OnceValue(func() grammarIndex { return newGrammarIndex(dec) }),
		endToken:     sync.OnceValue(func() Token { return firstEnd(dec) }),
	}
	e.slots.all = make([]Slot, dec.Sequences())
	go e.run()
	return e
}

// Submit queues a request and returns at once. ctx bounds the whole answer: when it ends, the generation ends within one
// step. Errors: ParameterError or ContextError for a request out of range, ErrQueueFull, or an error that wraps ErrEngine
// if the engine is closed or has failed.
func (e *Engine) Submit(ctx context.Context, req Request) (Generation, error) {
	all, err := e.SubmitN(ctx, req, 1)
	if err != nil {
		return nil, err
	}
	return all[0], nil
}

// SubmitN queues n answers to one prompt, which is prefilled once: the other answers copy the first one's cache. Answer i
// has the seed Seed+i and equals the answer of Submit with that seed. SubmitN queues all n or none.
func (e *Engine) SubmitN(ctx context.Context, req Request, n int) ([]Generation, error) {
	if n < 1 || n > MaxAnswers {
		return nil, &ParameterError{Field: "n", Reason: fmt.Sprintf("%d, must be 1 to %d", n, MaxAnswers)}
	}
	if most := e.opts.MaxQueue + e.dec.Sequences(); n > most {
		return nil, &ParameterError{Field: "n", Reason: fmt.Sprintf("%d, must be at most %d, the number of sequences plus the length of the queue", n, most)}
	}
	if err := e.validate(req); err != nil {
		return nil, err
	}
	var grammar *gbnf.Grammar
	if req.Grammar != "" {
		var err error
		if grammar, err = parseGrammar(req.Grammar); err != nil {
			return nil, err
		}
	}
	newThought, err := e.newThoughts(req.Thinking)
	if err != nil {
		return nil, err
	}
	infill, err := e.newInfill(req.Sampling)
	if err != nil {
		return nil, err
	}
	requests, answers := make([]*request, n), make([]Generation, n)
	for i := range requests {
		requests[i] = newRequest(ctx, req)
		answers[i] = requests[i].stream
		thought := newThought()
		requests[i].thought, requests[i].sampler.thought = thought, thought
		requests[i].sampler.infill = infill
		if grammar != nil {
			requests[i].sampler.grammar = e.constrain(grammar, thought)
		}
		if i > 0 && !req.PromptLogprobs {
			requests[i].lead = requests[0]
		}
		req.Sampling.Seed++
	}
	if err := e.enqueue(requests); err != nil {
		return nil, err
	}
	return answers, nil
}

// enqueue puts requests at the end of the queue, all or none.
func (e *Engine) enqueue(requests []*request) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closing {
		if e.err != nil {
			return e.err
		}
		return fmt.Errorf("%w: closed", ErrEngine)
	}
	// Requests that are about to get a free sequence do not count.
	places := e.opts.MaxQueue + max(0, e.dec.Sequences()-int(e.counters.running.Load()))
	if len(e.waiting)+len(requests) > places {
		if e.dropCancelled(); len(e.waiting)+len(requests) > places {
			return fmt.Errorf("%w: %d requests wait, the limit is %d; retry later", ErrQueueFull, len(e.waiting), e.opts.MaxQueue)
		}
	}
	e.waiting = append(e.waiting, requests...)
	e.counters.queued.Store(int64(len(e.waiting)))
	e.signal()
	return nil
}

// dropCancelled removes requests whose client has disconnected from the queue. The caller holds mu.
func (e *Engine) dropCancelled() {
	kept := e.waiting[:0]
	for _, r := range e.waiting {
		if err := r.ctx.Err(); err != nil {
			r.stream.fail(err)
			r.over = true
			continue
		}
		kept = append(kept, r)
	}
	clear(e.waiting[len(kept):])
	e.waiting = kept
	e.counters.queued.Store(int64(len(kept)))
}

func (e *Engine) signal() {
	select {
	case e.wake <- struct{}{}:
	default: // a wake-up is pending already
	}
}

// Close refuses new requests, lets the current ones finish until ctx ends, ends the rest with ErrEngine and closes the
// decoder. It returns ctx's error if it cut requests short, the error of closing the decoder, or the error that ended the
// engine earlier. Further calls wait for the same end.
func (e *Engine) Close(ctx context.Context) error {
	e.mu.Lock()
	e.closing = true
	e.mu.Unlock()
	e.signal()
	var cut error
	select {
	case <-e.done:
	case <-ctx.Done():
		e.abortOnce.Do(func() { close(e.abort) })
		<-e.done // within one step
		cut = ctx.Err()
	}
	return errors.Join(e.err, cut)
}

// Done is closed when the engine has ended: after Close, or because too many steps in a row failed.
func (e *Engine) Done() <-chan struct{} { return e.done }

// Err returns the error that ended the engine. It is nil until Done is closed, and after a Close.
func (e *Engine) Err() error {
	select {
	case <-e.done:
		return e.err
	default:
		return nil
	}
}

// Stats returns a snapshot of the engine's counters.
func (e *Engine) Stats() Stats {
	c := &e.counters
	return Stats{
		Queued: int(c.queued.Load()), Running: int(c.running.Load()),
		PromptTokens: c.prompt.Load(), CachedTokens: c.cached.Load(), CompletionTokens: c.completion.Load(),
		Steps: c.steps.Load(), BatchTokens: c.batchTokens.Load(),
		CacheTokens: int(c.cacheUsed.Load()), CacheSize: e.dec.Sequences() * e.dec.ContextSize(),
	}
}

// Info returns a description of the model.
func (e *Engine) Info() Info {
	return Info{VocabSize: e.dec.VocabSize(), ContextSize: e.dec.ContextSize(), Sequences: e.dec.Sequences()}
}

// Tokenize splits text into tokens as Decoder.Tokenize does.
func (e *Engine) Tokenize(text string, bos, special bool) ([]Token, error) {
	return e.dec.Tokenize(text, bos, special)
}

// Detokenize joins the pieces of tokens. Bytes that are not UTF-8 become U+FFFD.
func (e *Engine) Detokenize(tokens []Token, special bool) string {
	var text textBuffer
	for _, t := range tokens {
		text.write(e.dec.Piece(t, special))
	}
	text.flush()
	return string(text.take())
}
