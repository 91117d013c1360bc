package work

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"

	"github.com/gomlx/gomlx/backends"

	"prunellm/internal/jobs"
	"prunellm/internal/variant"
)

// The kinds of jobs.
const (
	build    jobs.Kind = "build"    // scores and refitted matrices of a variant
	card     jobs.Kind = "card"     // quality of a variant
	training jobs.Kind = "training" // recovery training of a variant
	trial    jobs.Kind = "trial"    // test whether the engine can run a file
)

// kinds maps each kind to the child's handler.
func (c Child) kinds() map[jobs.Kind]jobs.Handler {
	return map[jobs.Kind]jobs.Handler{
		build:    handler(c.build),
		card:     handler(c.card),
		training: handler(c.train),
		trial:    handler(c.try),
	}
}

// The folders and files of jobs in the cache folder.
const (
	exchangeFolder = "jobs"
	checkpoints    = "recovery"          // has a folder of checkpoints for each training run
	statesFile     = "hidden-states"     // hidden states of the dense model for the next refit
	predictions    = "dense-predictions" // of the dense model on the held-out text of the last card
)

// Orders runs jobs in child processes. It implements variant.Runner and variant.Trainer.
type Orders struct {
	parent   jobs.Parent
	cacheDir string
	log      *slog.Logger
}

// NewOrders returns Orders whose children are started with command. background is called when a child starts and
// reports whether the server may answer requests at the same time; nil means never. pauser stops children while
// requests run; it may be nil.
func NewOrders(command jobs.Command, cacheDir string, background func() bool, pauser *jobs.Pauser, log *slog.Logger) (*Orders, error) {
	cacheDir, err := filepath.Abs(cacheDir)
	if err != nil {
		return nil, fmt.Errorf("cache folder: %w", err)
	}
	return &Orders{
		parent:   jobs.Parent{Command: command, Scratch: filepath.Join(cacheDir, exchangeFolder), Background: background, Pauser: pauser},
		cacheDir: cacheDir, log: log,
	}, nil
}

// Unhurried returns orders whose results nothing waits for. Their children stop for as long as requests run.
func (o *Orders) Unhurried() *Orders {
	unhurried := *o
	unhurried.parent.Unhurried = true
	return &unhurried
}

// NewExchange creates an exchange folder in the cache folder for work in this process. release removes the folder.
func NewExchange(cacheDir string) (folder string, release func(), err error) {
	return jobs.NewExchange(filepath.Join(cacheDir, exchangeFolder))
}

// Child is the child's side of all kinds of jobs.
type Child struct {
	OpenBackend func(ctx context.Context) (backends.Backend, error) // for gradients
	Version     string                                              // of this binary
	Log         *slog.Logger
}

// childGCPercent limits how much garbage a child accumulates. Nearly all of its heap is a few large slices of weights,
// so garbage collection costs little.
const childGCPercent = 20

// childBallast is the size of an allocation that a child never touches, so it takes no physical memory. The garbage
// collector counts it as in use and therefore lets a fifth of it become garbage before it runs. Without it, the
// collector would run for each matrix of a small model, which takes a twentieth of all processor time.
const childBallast = 320 << 20

// Serve does one order from in and writes reports to out. The process exits when in ends.
func (c Child) Serve(ctx context.Context, in io.Reader, out io.Writer) error {
	debug.SetGCPercent(childGCPercent)
	ballast := make([]byte, childBallast)
	if limit := debug.SetMemoryLimit(-1); limit < math.MaxInt64-childBallast {
		debug.SetMemoryLimit(limit + childBallast) // the ballast takes no memory, so it does not count
	}
	defer runtime.KeepAlive(ballast)
	return jobs.Serve(ctx, in, out, os.Exit, c.kinds())
}

// handler returns a jobs.Handler that decodes the payload and calls perform.
func handler[P any](perform func(ctx context.Context, call *jobs.Call, payload P, progress func(variant.Progress)) (any, jobs.Values, error)) jobs.Handler {
	return func(ctx context.Context, call *jobs.Call, progress func(any)) (any, jobs.Values, error) {
		var payload P
		if err := json.Unmarshal(call.Payload, &payload); err != nil {
			return nil, nil, fmt.Errorf("payload: %w", err)
		}
		return perform(ctx, call, payload, func(p variant.Progress) { progress(p) })
	}
}

// reports returns a function that decodes a child's progress reports. progress may be nil.
func reports(progress func(variant.Progress)) func(json.RawMessage) {
	if progress == nil {
		return nil
	}
	return func(raw json.RawMessage) {
		var p variant.Progress
		if json.Unmarshal(raw, &p) == nil { // fails only for a child of another binary
			progress(p)
		}
	}
}
