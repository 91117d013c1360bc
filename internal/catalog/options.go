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
	Serving server.Engine // for requests; the catalog only passes it on
}

// Engine gives the lifetime and the load of a loaded model. *infer.Engine implements it.
type Engine interface {
	Info() infer.Info
	Stats() infer.Stats
	Slots() []infer.Slot
	// Done is closed when the engine can no longer answer.
	Done() <-chan struct{}
	// Close ends running requests when ctx ends, then frees the model.
	Close(ctx context.Context) error
}

// Options are the parts of a Catalog. The catalog may call all functions from several goroutines.
type Options struct {
	Model   Model
	Limits  Limits
	Work    Work
	Measure Measure
	Auto    Auto
	Hooks   Hooks
	Log     *slog.Logger
}

// Model describes the served model and its startup variant.
type Model struct {
	Name    string   // without a ratio
	Aliases []string // more names, without a ratio; they may include Name
	Startup float64  // the ratio of a request that names none
	Largest float64  // the largest ratio that Work.Build accepts; 0 if unknown
	// ServeDense lets the dense model answer in place of the startup variant until that variant is loaded.
	ServeDense bool
}

// Work makes, loads and deletes variants.
type Work struct {
	// Build makes or finds the variant of a ratio. The client sees an error that wraps *server.RatioError.
	Build func(ctx context.Context, ratio float64, progress func(variant.Progress)) (variant.Built, error)
	// Load opens a variant's file. If an error has a method OutOfMemory() bool that returns true, the catalog unloads
	// idle engines and calls Load again.
	Load func(ctx context.Context, built variant.Built) (Loaded, error)
	// Memory returns the number of bytes that the loaded variant takes. If it is nil, Limits.MemoryBudget has no
	// effect.
	Memory func(built variant.Built) int64
	// Remove deletes the file of a variant that an administrator deleted. If it is nil, files stay.
	Remove func(ctx context.Context, built variant.Built) error
}

// Measure measures loaded variants in the background, one at a time.
type Measure struct {
	// Cost returns the cost of pruning a variant. It measures the cost if necessary. If Cost is nil, cards show no
	// cost. The catalog logs its errors.
	Cost func(ctx context.Context, built variant.Built) (variant.Card, error)
	// Speeds returns how fast the variants answer one stream, in the order of the subjects. If necessary it measures
	// them in turns. If Speeds is nil, cards show no speed. If the error wraps ErrDisturbed, the catalog calls Speeds
	// again later. If it wraps ErrBusy, the speeds are valid but provisional: cards show them until better ones are
	// known.
	Speeds func(ctx context.Context, request SpeedRequest) ([]variant.Speed, error)
}

// SpeedRequest is what Measure.Speeds measures.
type SpeedRequest struct {
	Subjects []Subject
	Again    bool // whether to measure, because stored speeds disagree with the speed that requests see
	// Undisturbed is called after the measurement. It reports whether nothing else ran in this process. If false, the
	// measurement is void.
	Undisturbed func() bool
}

// Subject is a loaded variant to measure.
type Subject struct {
	Built  variant.Built
	Engine server.Engine
}

// Auto configures how the catalog itself chooses a ratio.
type Auto struct {
	Limits slo.Limits // without limits, "name@auto" is an error
	Ladder []float64  // ratios to choose from; they are loaded after the startup variant and stay loaded
	// Shed lets a smaller variant of the ladder serve requests under load. It applies to "name@auto" and to names
	// without a ratio.
	Shed   bool
	Policy slo.Policy
}

// Hooks report events to the caller. A nil hook is not called.
type Hooks struct {
	// OnUse is called with true when the first request or measurement begins, and with false when the last one has
	// ended. It runs under the catalog's mutex, so it must return immediately and must not call the catalog.
	OnUse func(inUse bool)
	// OnMake is called likewise when the first build or load of a variant begins or waits, and when the last one has ended.
	OnMake func(making bool)
	// Progress is called at every step of every build.
	Progress func(variant.Progress)
}

// Pauses between attempts.
const (
	firstRetry = 5 * time.Second // to make the startup variant
	lastRetry  = 5 * time.Minute

	firstQuiet = 2 * time.Second // to measure a speed
	lastQuiet  = 15 * time.Second
	firstIdle  = time.Minute // to measure a speed again that was measured beside other programs
	lastIdle   = time.Hour
)

// Values of Retry-After.
const (
	retryBusy = 10 * time.Second // no variant can be made or loaded at the moment
	retryFull = time.Hour        // an administrator must delete or unpin a variant first
)
