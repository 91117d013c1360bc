package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"prunellm/convert"
	"prunellm/internal/calibration"
	"prunellm/internal/metric"
	"prunellm/internal/store"
	"prunellm/internal/store/disk"
	redisstore "prunellm/internal/store/redis"
	"prunellm/internal/variant"
	"prunellm/models"
	"prunellm/models/llama"
	"prunellm/prune"
)

// sequenceLength is the length of a calibration sequence in tokens.
const sequenceLength = 256

// precisions are the values of --mixed-precision.
var precisions = map[string]llama.Precision{"auto": llama.AutoPrecision, "no": llama.Float32, "bf16": llama.BFloat16}

// recipe turns flags into a recipe and the source of its calibration tokens. A calibration file is identified by its
// content, so that a changed file gives new scores.
func (f *recipeFlags) recipe() (prune.Recipe, variant.Calibration, error) {
	r := prune.DefaultRecipe()
	r.Criterion = prune.Criterion(f.Criterion)
	r.Alpha, r.Temperature, r.SliverKeep = f.Alpha, f.Temperature, f.SliverKeep
	r.Tokens, r.Seed, r.Precision = f.CalibrationTokens, f.Seed, precisions[f.MixedPrecision]
	if f.Quick {
		r.Tokens = min(r.Tokens, quickTokens)
	}
	ref, err := calibration.Find(f.Calibration)
	if err != nil {
		return r, variant.Calibration{}, fmt.Errorf("--calibration: %w", err)
	}
	r.Calibration = ref.Identity
	return r, variant.Calibration{Length: sequenceLength, File: ref.File}, r.Validate()
}

// spec says which variant of a model the flags ask for. The budget 'auto' is global where the architecture can have a
// width for each layer.
func (f *recipeFlags) spec(config models.Config, ratio float64, fileType string) (variant.Spec, error) {
	recipe, text, err := f.recipe()
	if err != nil {
		return variant.Spec{}, usageError{err}
	}
	kind, err := convert.ParseFileType(fileType)
	if err != nil {
		return variant.Spec{}, usageError{fmt.Errorf("--file-type: %w", err)}
	}
	text.Length = min(text.Length, config.ContextLength)
	budget := prune.Budget(f.Budget)
	if f.Budget == autoBudget {
		if budget = prune.Uniform; convert.TakesWidths(config.Architecture) {
			budget = prune.Global
		}
	}
	if budget == prune.Global && !convert.TakesWidths(config.Architecture) {
		return variant.Spec{}, usageError{fmt.Errorf("--budget is global, but architecture %q takes one width for all layers: use uniform, or auto",
			config.Architecture)}
	}
	return variant.Spec{
		Ratio: ratio, Recipe: recipe, Calibration: text, Budget: budget,
		Reconstruct: f.Reconstruct, FileType: kind,
	}, nil
}

// counters are the metrics of making variants.
type counters struct {
	scorePasses prometheus.Counter
	scoreTime   prometheus.Histogram
	corrupt     prometheus.Counter
	leases      *leaseGauge
	builds      prometheus.Counter
	cacheBytes  *prometheus.GaugeVec
	hits        *prometheus.CounterVec
	misses      *prometheus.CounterVec
}

func newCounters(registry *prometheus.Registry) *counters {
	c := &counters{
		scorePasses: metric.NewCounter(metric.ScorePasses),
		scoreTime:   metric.NewHistogram(metric.ScoreSeconds),
		corrupt:     metric.NewCounter(metric.CacheCorrupt),
		leases:      &leaseGauge{gauge: metric.NewGauge(metric.LeaseHeld)},
		builds:      metric.NewCounter(metric.VariantBuilds),
		cacheBytes:  metric.NewGaugeVec(metric.CacheBytes),
		hits:        metric.NewCounterVec(metric.CacheHits),
		misses:      metric.NewCounterVec(metric.CacheMisses),
	}
	registry.MustRegister(c.scorePasses, c.scoreTime, c.corrupt, c.leases.gauge, c.builds, c.cacheBytes, c.hits, c.misses)
	return c
}

// scored counts a score pass.
func (c *counters) scored(took time.Duration) {
	c.scorePasses.Inc()
	c.scoreTime.Observe(took.Seconds())
}

// leaseGauge is 1 while any lease is held.
type leaseGauge struct {
	mu    sync.Mutex
	held  int
	gauge prometheus.Gauge
}

func (l *leaseGauge) changed(held bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if held {
		l.held++
	} else {
		l.held--
	}
	l.gauge.Set(float64(min(l.held, 1)))
}

func (c *counters) hooks() store.Hooks {
	return store.Hooks{
		OnHit:     func(store string, kind store.Kind) { c.hits.WithLabelValues(store, string(kind)).Inc() },
		OnMiss:    func(store string, kind store.Kind) { c.misses.WithLabelValues(store, string(kind)).Inc() },
		OnCorrupt: func(string, store.Kind) { c.corrupt.Inc() },
		OnLease:   c.leases.changed,
	}
}

// stores are the places where computed values are kept.
type stores struct {
	store  store.Store
	leaser store.Leaser
	files  *disk.Files
	remote *redisstore.Store // nil without Redis
	close  func() error
}

// closeLogged ends the stores; what goes wrong then is no command's failure.
func (s *stores) closeLogged(log *slog.Logger) {
	if err := s.close(); err != nil {
		log.Warn("stores not closed cleanly", "error", err)
	}
}

// openStores opens the disk cache and, with a URL, Redis behind it. A Redis that cannot be reached is a warning.
func openStores(ctx context.Context, flags cacheFlags, log *slog.Logger, hooks store.Hooks) (*stores, error) {
	if flags.CacheDir == "" {
		return nil, errNoHome
	}
	if err := checkSecret("redis-ca", flags.RedisCA, nil); err != nil {
		return nil, err
	}
	options := disk.Options{Log: log, Hooks: hooks}
	local, err := disk.Open(flags.CacheDir, options)
	if err != nil {
		return nil, fmt.Errorf("--cache-dir: %w", err)
	}
	files, err := disk.OpenFiles(flags.CacheDir, options)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("--cache-dir: %w", err), local.Close())
	}
	s := &stores{store: local, leaser: local, files: files, close: func() error { return errors.Join(files.Close(), local.Close()) }}
	if flags.Redis == "" {
		return s, nil
	}
	redisstore.LogClient(log)
	remote, err := redisstore.Open(flags.redisOptions(log, hooks))
	if err != nil {
		return nil, usageError{errors.Join(fmt.Errorf("--redis: %w", err), s.close())}
	}
	if err := remote.Ping(ctx); err != nil {
		log.Warn("redis does not answer, computing locally until it does", "error", err)
	}
	return s.layer(local, remote, log), nil
}

// layer puts the disk in front of Redis.
func (s *stores) layer(local *disk.Store, remote *redisstore.Store, log *slog.Logger) *stores {
	layered := store.NewLayered(store.LayeredOptions{Local: local, Remote: remote, Log: log})
	closeLocal := s.close
	return &stores{store: layered, leaser: layered, files: s.files, remote: remote, close: func() error {
		return errors.Join(layered.Close(), remote.Close(), closeLocal())
	}}
}
