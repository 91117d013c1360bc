package catalog

import (
	"context"
	"log/slog"
	"time"

	"prunellm/infer"
	"prunellm/internal/slo"
	"prunellm/internal/variant"
	"prunellm/server"
)

// Loaded is a loaded model.
type Loaded struct {
	Engine                // what the catalog uses of it
	Serving server.Engine // what requests use of it; the catalog passes it on
}

// Engine is the life and the load of a loaded model; *infer.Engine is one.
type Engine interface {
	Info() infer.Info
	Stats() infer.Stats
	// Done is closed when the engine can no longer answer.
	Done() <-chan struct{}
	// Close ends running requests when ctx ends, then frees the model.
	Close(ctx context.Context) error
}

// Options are the parts of a Catalog. All functions may be called from several goroutines.
type Options struct {
	Model   Model
	Limits  Limits
	Work    Work
	Measure Measure
	Auto    Auto
	Hooks   Hooks
	Log     *slog.Logger
}

// Model is the model that is served and its startup variant.
type Model struct {
	Name    string  // without a ratio
	Startup float64 // the ratio of a request that names none
	Largest float64 // the largest ratio that Work.Build accepts; 0 if unknown
	// ServeDense lets the dense model answer for the startup variant until that one is loaded.
	ServeDense bool
}

// Work makes, loads and deletes variants.
type Work struct {
	// Build makes the variant of a ratio, or finds it. An error that wraps *server.RatioError is the client's.
	Build func(ctx context.Context, ratio float64, progress func(variant.Progress)) (variant.Built, error)
	// Load opens a variant's file. An error with a method OutOfMemory() bool that returns true has idle engines unloaded,
	// and Load called again.
	Load func(ctx context.Context, built variant.Built) (Loaded, error)
	// Memory returns the bytes that the loaded variant takes. nil: Limits.MemoryBudget has no effect.
	Memory func(built variant.Built) int64
	// Remove deletes the file of a variant that an administrator deleted. nil: files stay.
	Remove func(ctx context.Context, built variant.Built) error
}

// Measure measures loaded variants in the background, one at a time.
type Measure struct {
	// Cost returns what pruning cost a variant, measuring it if need be. nil: cards show no cost. An error is logged.
	Cost func(ctx context.Context, built variant.Built) (variant.Card, error)
	// Speeds returns how fast variants answer one stream, in order, measuring them in turns if need be. nil: cards show no
	// speed. An error that wraps ErrDisturbed has it called again later. With ErrBusy it comes with the speeds: they are on
	// cards until better ones are known.
	Speeds func(ctx context.Context, request SpeedRequest) ([]variant.Speed, error)
}

// SpeedRequest is what Measure.Speeds measures.
type SpeedRequest struct {
	Subjects []Subject
	Again    bool // stored speeds disagree with what requests see
	// Undisturbed reports, after the measurement, whether the engines had this process to themselves. If not, the measurement
	// means nothing.
	Undisturbed func() bool
}

// Subject is a loaded variant to be measured.
type Subject struct {
	Built  variant.Built
	Engine server.Engine
}

// Auto says how the catalog chooses a ratio by itself.
type Auto struct {
	Limits slo.Limits // none: "name@auto" is refused
	Ladder []float64  // the ratios to choose from; they are loaded after the startup variant, and stay loaded
	// Shed lets a smaller variant of the ladder answer under load, for "name@auto" and for names without a ratio.
	Shed   bool
	Policy slo.Policy
}

// Hooks tell the caller what happens. A nil hook is not called.
type Hooks struct {
	// OnUse is called when the first request begins to hold a variant, or the first measurement begins, and when the last
	// one has ended. It runs under the catalog's mutex: it must return at once and not call the catalog.
	OnUse func(inUse bool)
	// Progress is called at every step of every build.
	Progress func(variant.Progress)
}

// Pauses between attempts.
const (
	firstRetry = 5 * time.Second // to make the startup variant
	lastRetry  = 5 * time.Minute

	firstQuiet = 2 * time.Second // to measure a speed
	lastQuiet  = 15 * time.Second
	firstIdle  = time.Minute // to measure a speed that was measured beside other programs
	lastIdle   = time.Hour
)

// What a client is told to wait before it asks again.
const (
	retryBusy = 10 * time.Second // no further variant can be made or loaded at present
	retryFull = time.Hour        // an administrator must delete or unpin a variant first
)
