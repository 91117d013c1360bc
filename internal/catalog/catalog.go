// Package catalog holds the variants that a process serves: it has them made when they are first asked for, loads them,
// hands them to requests and unloads those that nobody uses.
//
// It knows neither how a variant is made (see internal/variant) nor how a model runs (see infer): both are functions
// that the caller gives. It implements the Models interface of package server.
//
// # Data flow
//
// Acquire turns a model name into a ratio, the ratio into a shelf. The first request for a shelf starts one goroutine
// that builds and loads; everybody waits for the shelf's done channel. Two ratios that keep the same neurons give the
// same file, and share one loaded engine.
//
// # Concurrency
//
// One mutex guards the maps and the reference counts. Building and loading run outside it. An engine is closed only when
// no request holds it.
package catalog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"prunellm/infer"
	"prunellm/internal/variant"
	"prunellm/server"
)

// Engine answers requests with one loaded model; *infer.Engine is one.
type Engine interface {
	Submit(ctx context.Context, request infer.Request) (infer.Generation, error)
	SubmitN(ctx context.Context, request infer.Request, n int) ([]infer.Generation, error)
	Embed(ctx context.Context, prompts [][]infer.Token) ([][]float32, infer.Usage, error)
	HiddenSize() int
	CheckGrammar(gbnf string) error
	SchemaGrammar(schema []byte) (gbnf string, err error)
	Tokenize(text string, bos, special bool) ([]infer.Token, error)
	Piece(t infer.Token, special bool) []byte
	VocabSize() int
	ContextSize() int
	Info() infer.Info
	Stats() infer.Stats
	// Done is closed when the engine can answer no more.
	Done() <-chan struct{}
	// Close ends running requests when ctx ends, then frees the model.
	Close(ctx context.Context) error
}

// Options are what a Catalog is made of. All functions may be called from several goroutines.
type Options struct {
	Name    string  // the model's name, without a ratio
	Startup float64 // the ratio of a request that names none
	Largest float64 // the largest ratio that Build takes; 0 when that is not known
	// ServeDense lets the dense model answer for the startup variant while that one is being made.
	ServeDense bool
	MaxLoaded  int // engines kept loaded, at least 1; those in use are never unloaded
	MaxWaiting int // further variants that may wait to be made while one is
	MaxMade    int // variants that may be made or found in all, dense and startup aside; 0: any number
	// MemoryBudget, with Memory, bounds the bytes of all loaded engines; 0: no bound.
	MemoryBudget int64
	Memory       func(built variant.Built) int64
	IdleTimeout  time.Duration // engines unused for so long are unloaded, the startup variant and pinned ones aside; 0: never
	// Build makes the variant of a ratio, or finds it. An error that wraps *server.RatioError is the client's.
	Build func(ctx context.Context, ratio float64, progress func(variant.Progress)) (variant.Built, error)
	// Load opens a variant's file.
	Load func(ctx context.Context, built variant.Built) (Engine, error)
	// Measure, if set, tells what pruning cost a variant, measuring it if need be. It is called in the background once the
	// variant is loaded, for one variant at a time. An error means that there is nothing to tell, which is logged.
	Measure func(ctx context.Context, built variant.Built) (variant.Card, error)
	// Speed, if set, tells how quickly a variant answers one stream, measuring it if need be. It is called in the background,
	// for one variant at a time. undisturbed tells at the end whether the engine had this machine to itself: if not, what
	// was measured means nothing, and Speed returns an error that wraps ErrDisturbed to be called again later.
	Speed func(ctx context.Context, built variant.Built, engine Engine, undisturbed func() bool) (variant.Speed, error)
	// Auto chooses the ratio of requests for "name@auto".
	Auto Auto
	// Remove, if set, deletes the file of a variant that an administrator deleted.
	Remove func(ctx context.Context, built variant.Built) error
	// OnUse, if set, hears when the first request begins to hold a variant and when the last one has ended. It must return
	// at once.
	OnUse func(inUse bool)
	// Progress, if set, hears of every step of every build.
	Progress func(variant.Progress)
	Log      *slog.Logger
}

// Catalog implements server.Models.
type Catalog struct {
	options Options
	builds  chan struct{} // holds one token: one variant is made at a time
	measure chan struct{} // the same for measuring
	ctx     context.Context
	cancel  context.CancelFunc
	work    sync.WaitGroup

	mu       sync.Mutex
	shelves  map[float64]*shelf   // by the ratio asked for
	loaded   map[string]*engine   // by the digest of the variant
	offered  map[float64]struct{} // ratios that other replicas have made
	kept     map[float64]bool     // ratios that an administrator pinned
	failures map[float64]string   // why ratios could not be made the last time
	made     map[float64]string   // digests of the variants made or found, by ratio
	created  time.Time            // of the catalog; models' "created"
	users    int                  // requests that hold a variant
	waiting  int                  // builds under way or waiting
	failure  string               // why the last attempt at the startup variant, or at the dense one before it, failed; "" before and after success
	clock    func() time.Time     // for the order of use
	quiet    time.Duration        // before the second attempt to measure a speed; then ever longer
	comings  int                  // requests and builds that began; tells a measurement whether it was disturbed
	watch    watch                // of answers, when the ladder has limits
}

// New returns an empty catalog. Close frees it.
func New(options Options) *Catalog {
	ctx, cancel := context.WithCancel(context.Background())
	return &Catalog{
		options: options,
		builds:  make(chan struct{}, 1), // one sender and receiver at a time: a mutex that obeys a context
		measure: make(chan struct{}, 1),
		ctx:     ctx, cancel: cancel,
		shelves: map[float64]*shelf{},
		loaded:  map[string]*engine{},
		kept:    map[float64]bool{}, failures: map[float64]string{}, made: map[float64]string{},
		offered: map[float64]struct{}{},
		created: time.Now(),
		quiet:   firstQuiet,
		clock:   time.Now,
	}
}

// Start begins to make and load the startup variant, and tries again after failures, ever more rarely, until it is
// there, ctx ends or the catalog is closed. With ServeDense the dense model is loaded first. It returns at once; the
// first error of each attempt goes to the log.
func (c *Catalog) Start(ctx context.Context) {
	c.work.Add(1)
	go func() {
		defer c.work.Done()
		ctx, stop := mergeCancel(ctx, c.ctx)
		defer stop()
		if c.options.ServeDense && c.options.Startup > 0 {
			c.keepTrying(ctx, 0)
		}
		c.keepTrying(ctx, c.options.Startup)
		c.loadLadder(ctx)
	}()
	if c.options.IdleTimeout > 0 {
		c.work.Go(func() { c.unloadIdle(ctx) })
	}
}

// Pauses between attempts to make the startup variant.
const (
	firstPause = 5 * time.Second
	lastPause  = 5 * time.Minute
)

func (c *Catalog) keepTrying(ctx context.Context, ratio float64) {
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		held, err := c.acquire(ctx, ratio)
		if err == nil {
			held.Release()
			return
		}
		if ctx.Err() != nil {
			return
		}
		c.options.Log.Error("variant not made, trying again", "ratio", ratio, "pause", pause.String(), "error", err)
		c.mu.Lock()
		c.failure = fmt.Sprintf("the last attempt failed (%v), the next one begins within %s", err, pause)
		c.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// maxOffered bounds the ratios that are listed because somebody else made them.
const maxOffered = 64

// Offer lists a ratio that another replica has made, so that clients see what is there at little cost: asked for, it is
// assembled from what that one published. It returns whether the ratio is new here.
func (c *Catalog) Offer(ratio float64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, known := c.offered[ratio]
	if known || len(c.offered) >= maxOffered {
		return false
	}
	c.offered[ratio] = struct{}{}
	_, here := c.shelves[ratio]
	return !here
}

// Close stops builds, waits for them, and closes all engines; running requests end when ctx does.
func (c *Catalog) Close(ctx context.Context) error {
	c.cancel()
	c.work.Wait()
	c.mu.Lock()
	engines := make([]*engine, 0, len(c.loaded))
	for _, e := range c.loaded {
		engines = append(engines, e)
	}
	clear(c.loaded)
	clear(c.shelves)
	c.mu.Unlock()
	var faults []error
	for _, e := range engines {
		if err := e.Close(ctx); err != nil {
			faults = append(faults, fmt.Errorf("close %s: %w", e.built.Name(), err))
		}
	}
	return errors.Join(faults...)
}

// mergeCancel returns a context that ends with either.
func mergeCancel(a, b context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(a)
	stop := context.AfterFunc(b, cancel)
	return ctx, func() { stop(); cancel() }
}

var _ server.Models = (*Catalog)(nil)
