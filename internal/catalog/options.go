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
	Engine                // for the catalog
	Serving server.Engine // for requests; the catalog passes it on
}

// Engine is the lifetime and the load of a loaded model; *infer.Engine implements it.
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
	// Build makes or finds the variant of a ratio. An error that wraps *server.RatioError goes to the client.
	Build func(ctx context.Context, ratio float64, progress func(variant.Progress)) (variant.Built, error)
	// Load opens a variant's file. If an error has a method OutOfMemory() bool that returns true, the catalog unloads
	// idle engines and calls Load again.
	Load func(ctx context.Context, built variant.Built) (Loaded, error)
	// Memory returns the bytes that the loaded variant takes. nil: Limits.MemoryBudget has no effect.
	Memory func(built variant.Built) int64
	// Remove deletes the file of a variant that an administrator deleted. nil: files stay.
	Remove func(ctx context.Context, built variant.Built) error
}

// Measure measures loaded variants in the background, one at a time.
type Measure struct {
	// Cost returns the cost of pruning a variant, and measures it if necessary. nil: cards show no cost. An error is
	// logged.
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

// Auto configures how the catalog itself chooses a ratio.
type Auto struct {
	Limits slo.Limits // none: "name@auto" is refused
	Ladder []float64  // the ratios to choose from; they are loaded after the startup variant, and stay loaded
	// Shed lets a smaller variant of the ladder serve requests under load, for "name@auto" and for names without a
	// ratio.
	Shed   bool
	Policy slo.Policy
}

// Hooks report events to the caller. A nil hook is not called.
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

// Values of Retry-After.
const (
	retryBusy = 10 * time.Second // no further variant can be made or loaded now
	retryFull = time.Hour        // an administrator must delete or unpin a variant first
)
