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
	card     jobs.Kind = "card"     // a variant's quality figures
	training jobs.Kind = "training" // recovery training of a variant
	trial    jobs.Kind = "trial"    // whether the engine runs a file
)

// kinds maps all kinds to the child's handlers.
func (c Child) kinds() map[jobs.Kind]jobs.Handler {
	return map[jobs.Kind]jobs.Handler{
		build:    handler(c.build),
		card:     handler(c.card),
		training: handler(c.train),
		trial:    handler(c.try),
	}
}

// Folders and files of jobs in the cache folder.
const (
	exchangeFolder = "jobs"
	checkpoints    = "recovery"          // folders of checkpoints, by what is trained
	statesFile     = "hidden-states"     // of the dense model, for the next refit
	predictions    = "dense-predictions" // on the held-out text of the last card
)

// Orders runs jobs in child processes. It implements variant.Runner and variant.Trainer.
type Orders struct {
	parent   jobs.Parent
	cacheDir string
	log      *slog.Logger
}

// NewOrders returns orders of children that command starts. background reports, when they start, whether requests are
// answered meanwhile; nil is never. pauser has them give way to requests; it may be nil.
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

// NewExchange creates an exchange folder in the cache folder for work in this process. release removes it.
func NewExchange(cacheDir string) (folder string, release func(), err error) {
	return jobs.NewExchange(filepath.Join(cacheDir, exchangeFolder))
}

// Child is the child process.
type Child struct {
	OpenBackend func(ctx context.Context) (backends.Backend, error) // for gradients
	Version     string                                              // of this binary
	Log         *slog.Logger
}

// childGCPercent limits a child's garbage. Its heap is weights, one layer at a time, and collecting costs little if
// nearly all of the heap is a few large slices of numbers.
const childGCPercent = 20

// childBallast is the size of an allocation that a child never touches, so that it takes no memory. The collector
// counts it as in use and lets a fifth of it become garbage before it starts. Without it, the small heap of a small
// model is collected for each matrix, which takes a twentieth of all processor time.
const childBallast = 320 << 20

// Serve performs one order from in and reports on out. The process exits when in ends.
func (c Child) Serve(ctx context.Context, in io.Reader, out io.Writer) error {
	debug.SetGCPercent(childGCPercent)
	ballast := make([]byte, childBallast)
	if limit := debug.SetMemoryLimit(-1); limit < math.MaxInt64-childBallast {
		debug.SetMemoryLimit(limit + childBallast) // excludes the ballast
	}
	defer runtime.KeepAlive(ballast)
	return jobs.Serve(ctx, in, out, os.Exit, c.kinds())
}

// handler decodes the payload of a kind.
func handler[P any](perform func(ctx context.Context, call *jobs.Call, payload P, progress func(variant.Progress)) (any, jobs.Values, error)) jobs.Handler {
	return func(ctx context.Context, call *jobs.Call, progress func(any)) (any, jobs.Values, error) {
		var payload P
		if err := json.Unmarshal(call.Payload, &payload); err != nil {
			return nil, nil, fmt.Errorf("payload: %w", err)
		}
		return perform(ctx, call, payload, func(p variant.Progress) { progress(p) })
	}
}

// reports decodes a child's progress. progress may be nil.
func reports(progress func(variant.Progress)) func(json.RawMessage) {
	if progress == nil {
		return nil
	}
	return func(raw json.RawMessage) {
		var p variant.Progress
		if json.Unmarshal(raw, &p) == nil { // a child of this binary
			progress(p)
		}
	}
}
