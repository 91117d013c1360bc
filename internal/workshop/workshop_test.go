package workshop

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"prunellm/internal/metric"
	"prunellm/internal/store"
	redisstore "prunellm/internal/store/redis"
	"prunellm/internal/tinymodel"
	"prunellm/internal/variant"
)

// open opens a workshop for a tiny model with a shared store at the URL.
func open(t *testing.T, url string, logged io.Writer) (*Workshop, error) {
	t.Helper()
	model := tinymodel.Open(t, tinymodel.Options{})
	return Open(t.Context(), Options{
		Model: model, CacheDir: t.TempDir(), Redis: redisstore.Options{URL: url}, Out: io.Discard, Log: slog.New(slog.NewTextHandler(logged, nil)),
	})
}

func TestDenseIsTheModelItself(t *testing.T) {
	shop, err := open(t, "", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	defer shop.Close()
	built, err := shop.Build(t.Context(), variant.Spec{FileType: "keep"})
	if err != nil || built.Path != shop.Builder.Model.Path() {
		t.Errorf("Build of ratio 0 = %q, %v, want the model's own file", built.Path, err)
	}
	shop.Watch(t.Context(), variant.Spec{}, nil)() // without Redis there is nothing to watch
}

func TestRedis(t *testing.T) {
	var setting *SettingError
	if _, err := open(t, "http://not-redis", io.Discard); !errors.As(err, &setting) || !strings.Contains(err.Error(), "--redis") {
		t.Errorf("a wrong URL: %v, want a setting that names --redis", err)
	}
	var logged bytes.Buffer
	shop, err := open(t, "redis://127.0.0.1:1", &logged)
	if err != nil {
		t.Fatal(err)
	}
	shop.Close()
	if !strings.Contains(logged.String(), "redis is unreachable") {
		t.Errorf("logged %q, want a warning about redis", logged.String())
	}
}

// gauge returns the sum of the metric over all labels.
func gauge(t *testing.T, registry *prometheus.Registry, row string) (sum float64) {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != row {
			continue
		}
		for _, m := range family.GetMetric() {
			sum += m.GetGauge().GetValue()
		}
	}
	return sum
}

func TestGauges(t *testing.T) {
	registry := prometheus.NewRegistry()
	c := NewCounters(registry)
	hooks := c.hooks()
	for _, held := range []bool{true, true, false} {
		hooks.OnLease(held)
	}
	if got := gauge(t, registry, metric.LeaseHeld); got != 1 {
		t.Errorf("with one of two leases left the gauge is %v, want 1", got)
	}
	if hooks.OnLease(false); gauge(t, registry, metric.LeaseHeld) != 0 {
		t.Error("without leases the gauge is not 0")
	}
	c.sharedSizes(map[store.Kind]int64{store.KindPlan: 7})
	if got := gauge(t, registry, metric.CacheBytes); got != 7 {
		t.Errorf("the values take %v bytes, want 7", got)
	}
}
