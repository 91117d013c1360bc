// Package workshop opens everything that is needed to make variants of one model: the disk cache, and Redis as the second store. It
// also opens the child processes, the metrics, and the builder that uses them all.
//
// It only opens and connects these parts; internal/variant makes variants. Every command that makes variants opens one workshop.
//
// # Errors
//
// A *SettingError reports a setting that the user must change. An unreachable Redis is only a warning: the builder then computes
// variants locally.
package workshop

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"prunellm/internal/jobs"
	"prunellm/internal/jobs/work"
	"prunellm/internal/progress"
	"prunellm/internal/store"
	"prunellm/internal/store/disk"
	redisstore "prunellm/internal/store/redis"
	"prunellm/internal/variant"
	"prunellm/models"
)

// Workshop makes variants of one model.
type Workshop struct {
	Builder  *variant.Builder
	Orders   *work.Orders // of child processes
	Counters *Counters
	Files    *disk.Files

	remote  *redisstore.Store // nil without Redis
	log     *slog.Logger
	out     io.Writer
	closers []func() error // Close calls the last one first
}

// Options are the settings of a workshop.
type Options struct {
	Model    *models.GGUF
	Version  string // of prunellm, which pruned files name
	CacheDir string
	Redis    redisstore.Options // without a URL only the disk is used
	Child    jobs.Command       // starts a child process for a job
	Out      io.Writer          // where Build draws its progress
	Log      *slog.Logger
	Serving  Serving
}

// Serving has the settings for a server, whose jobs run in the background while it serves requests. The zero value is for a
// command that ends.
type Serving struct {
	Answers  func() bool // reports whether the server can serve any request now
	Names    []string    // of the model for clients, of which variants have the first; none: that of its file
	Registry *prometheus.Registry
	Pauser   *jobs.Pauser
}

// SettingError reports a setting that the user must change.
type SettingError struct{ error }

// Unwrap returns the reason.
func (e *SettingError) Unwrap() error { return e.error }

// Open opens the stores and connects the builder to them. The caller closes the workshop before the model.
func Open(ctx context.Context, o Options) (*Workshop, error) {
	if o.Serving.Registry == nil {
		o.Serving.Registry = prometheus.NewRegistry()
	}
	w := &Workshop{Counters: NewCounters(o.Serving.Registry), log: o.Log, out: o.Out}
	w.Builder = &variant.Builder{
		Model: o.Model, Name: append(o.Serving.Names, o.Model.ServedName())[0], Codec: work.Codec(), Tool: "prunellm " + o.Version, Log: o.Log,
		Scored: w.Counters.scored, Corrupt: func(store.Kind) { w.Counters.corrupt.Inc() },
	}
	err := w.openStores(ctx, o)
	if err == nil {
		w.Orders, err = work.NewOrders(o.Child, o.CacheDir, o.Serving.Answers, o.Serving.Pauser, o.Log)
	}
	if err != nil {
		w.Close()
		return nil, err
	}
	w.Builder.Files, w.Builder.Runner = w.Files, w.Orders
	return w, nil
}

// openStores opens the disk cache and, with a URL, Redis as the second store.
func (w *Workshop) openStores(ctx context.Context, o Options) error {
	hooks := w.Counters.hooks()
	options := disk.Options{Log: w.log, Hooks: hooks}
	local, err := disk.Open(o.CacheDir, options)
	if err != nil {
		return fmt.Errorf("--cache-dir: %w", err)
	}
	w.onClose(local.Close)
	if w.Files, err = disk.OpenFiles(o.CacheDir, options); err != nil {
		return fmt.Errorf("--cache-dir: %w", err)
	}
	w.onClose(w.Files.Close)
	w.Builder.Store, w.Builder.Leaser = local, local
	if o.Redis.URL == "" {
		return nil
	}
	redisstore.LogClient(w.log)
	o.Redis.Log, o.Redis.Hooks = w.log, hooks
	if w.remote, err = redisstore.Open(o.Redis); err != nil {
		return &SettingError{fmt.Errorf("--redis: %w", err)}
	}
	w.onClose(w.remote.Close)
	if err := w.remote.Ping(ctx); err != nil {
		w.log.Warn("redis is unreachable, computing locally until it answers", "error", err)
	}
	layered := store.NewLayered(store.LayeredOptions{Local: local, Remote: w.remote, Log: w.log})
	w.onClose(layered.Close)
	w.Builder.Store, w.Builder.Leaser = layered, layered
	return nil
}

func (w *Workshop) onClose(f func() error) { w.closers = append([]func() error{f}, w.closers...) }

// Close closes the stores. It only logs errors, because they do not affect the result of a command.
func (w *Workshop) Close() {
	var faults []error
	for _, f := range w.closers {
		faults = append(faults, f())
	}
	if err := errors.Join(faults...); err != nil {
		w.log.Warn("stores not closed cleanly", "error", err)
	}
}

// Build makes or finds the variant of a spec and shows the progress.
func (w *Workshop) Build(ctx context.Context, spec variant.Spec) (variant.Built, error) {
	view := progress.New(w.out, w.log)
	defer view.Close()
	return w.Builder.Build(ctx, spec, view.Show)
}

// Card returns the cost of pruning a variant, from a store or measured now. If Card cannot measure it, it logs the error and
// returns nil.
func (w *Workshop) Card(ctx context.Context, spec variant.Spec, built variant.Built) (*variant.Card, error) {
	card, err := w.Builder.Card(ctx, spec, built, w.Orders.Measure)
	switch {
	case err == nil:
		return &card, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case !errors.Is(err, variant.ErrNoHeldOut):
		w.log.Warn("cannot measure the cost of pruning", "variant", built.Name(), "error", err)
	}
	return nil, nil
}
