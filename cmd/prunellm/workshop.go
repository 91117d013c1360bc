package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"prunellm/internal/jobs"
	"prunellm/internal/jobs/work"
	"prunellm/internal/store"
	"prunellm/internal/store/disk"
	redisstore "prunellm/internal/store/redis"
	"prunellm/internal/variant"
	"prunellm/models"
)

// workshop is what commands make variants of one model with.
type workshop struct {
	builder  *variant.Builder
	orders   *work.Orders // of child processes
	counters *counters
	files    *disk.Files
	remote   *redisstore.Store // nil without Redis
	log      *slog.Logger
	closers  []func() error // from the last opened to the first
}

// serving is what the server adds to a workshop: jobs run in the background while requests are answered.
type serving struct {
	answers  func() bool // reports whether any request can be answered now
	registry *prometheus.Registry
	pauser   *jobs.Pauser
}

// openWorkshop opens the stores and connects what makes variants of the model. server is nil for commands that end. The
// caller closes the workshop before the model.
func openWorkshop(env *environment, model *models.GGUF, flags cacheFlags, server *serving) (*workshop, error) {
	if server == nil {
		server = &serving{registry: prometheus.NewRegistry()}
	}
	w := &workshop{counters: newCounters(server.registry), log: env.log}
	w.builder = &variant.Builder{
		Model: model, Name: model.ServedName(), Codec: work.Codec(), Tool: "prunellm " + version, Log: env.log,
		Scored: w.counters.scored, Corrupt: func(store.Kind) { w.counters.corrupt.Inc() },
	}
	err := w.openStores(env.ctx, flags)
	if err == nil {
		w.orders, err = work.NewOrders(env.child(), flags.CacheDir, server.answers, server.pauser, env.log)
	}
	if err != nil {
		w.close()
		return nil, err
	}
	w.builder.Files, w.builder.Runner = w.files, w.orders
	return w, nil
}

// openStores opens the disk cache and, with a URL, Redis behind it. An unreachable Redis is a warning.
func (w *workshop) openStores(ctx context.Context, flags cacheFlags) error {
	if flags.CacheDir == "" {
		return errNoHome
	}
	if err := checkSecret("redis-ca", flags.RedisCA, nil); err != nil {
		return err
	}
	hooks := w.counters.hooks()
	options := disk.Options{Log: w.log, Hooks: hooks}
	local, err := disk.Open(flags.CacheDir, options)
	if err != nil {
		return fmt.Errorf("--cache-dir: %w", err)
	}
	w.onClose(local.Close)
	if w.files, err = disk.OpenFiles(flags.CacheDir, options); err != nil {
		return fmt.Errorf("--cache-dir: %w", err)
	}
	w.onClose(w.files.Close)
	w.builder.Store, w.builder.Leaser = local, local
	if flags.Redis == "" {
		return nil
	}
	redisstore.LogClient(w.log)
	if w.remote, err = redisstore.Open(flags.redisOptions(w.log, hooks)); err != nil {
		return usageError{fmt.Errorf("--redis: %w", err)}
	}
	w.onClose(w.remote.Close)
	if err := w.remote.Ping(ctx); err != nil {
		w.log.Warn("redis is unreachable, computing locally until it answers", "error", err)
	}
	layered := store.NewLayered(store.LayeredOptions{Local: local, Remote: w.remote, Log: w.log})
	w.onClose(layered.Close)
	w.builder.Store, w.builder.Leaser = layered, layered
	return nil
}

func (w *workshop) onClose(f func() error) { w.closers = append([]func() error{f}, w.closers...) }

// close closes the stores. A failure is logged: it is no failure of the command.
func (w *workshop) close() {
	var faults []error
	for _, f := range w.closers {
		faults = append(faults, f())
	}
	if err := errors.Join(faults...); err != nil {
		w.log.Warn("stores not closed cleanly", "error", err)
	}
}

// build makes the variant of a spec, or finds it, and shows the progress.
func (w *workshop) build(env *environment, spec variant.Spec) (variant.Built, error) {
	view := newProgressView(env.stderr, env.log)
	defer view.close()
	return w.builder.Build(env.ctx, spec, view.show)
}

// card finds what pruning cost a variant, or has it measured; nil where that is not possible, which the log says.
func (w *workshop) card(ctx context.Context, spec variant.Spec, built variant.Built) (*variant.Card, error) {
	card, err := w.builder.Card(ctx, spec, built, w.orders.Measure)
	switch {
	case err == nil:
		return &card, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case !errors.Is(err, variant.ErrNoHeldOut):
		w.log.Warn("cost of pruning not measured", "variant", built.Name(), "error", err)
	}
	return nil, nil
}
