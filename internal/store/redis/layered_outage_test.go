package redis

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"prunellm/internal/store"
	"prunellm/internal/store/redis/redistest"
	"prunellm/internal/store/storetest"
)

// TestLayeredOutage kills Redis before, between and during operations. All operations must succeed, only the first may
// wait, and each outage logs one warning. Values that were stored during an outage must be in Redis afterwards.
func TestLayeredOutage(t *testing.T) {
	server := redistest.Start(t)
	l := openLayered(t, server.URL, store.Hooks{})
	key := func(s string) store.Key { return storetest.Key(store.KindPlan, s) }
	if err := l.Put(t.Context(), key("before"), []byte("before")); err != nil {
		t.Fatal(err)
	}
	for outage := 1; outage <= 2; outage++ {
		server.Kill()
		for range 20 {
			if err := l.Put(t.Context(), key("during"), []byte("during")); err != nil {
				t.Fatalf("Put = %v", err)
			}
			if got, err := l.Get(t.Context(), key("before")); err != nil || string(got) != "before" {
				t.Fatalf("Get = %q, %v", got, err)
			}
			if _, err := l.Get(t.Context(), key("missing")); !errors.Is(err, store.ErrNotFound) {
				t.Fatalf("Get of nothing = %v", err)
			}
			if keys, err := l.List(t.Context(), key("").Model, store.KindPlan); err != nil || len(keys) < 2 {
				t.Fatalf("List = %v, %v", keys, err)
			}
			lease, ok, err := l.Acquire(t.Context(), key("leased"))
			if err != nil || !ok {
				t.Fatalf("Acquire = %v, %v", ok, err)
			}
			if err := errors.Join(lease.SetProgress(t.Context(), []byte("1")), lease.Put(t.Context(), key("leased"), []byte("leased")), lease.Close()); err != nil {
				t.Fatalf("lease during the outage: %v", err)
			}
		}
		if l.RemoteUp() {
			t.Error("a dead Redis counts as up")
		}
		if n := l.log.count("shared cache not usable"); n != outage {
			t.Errorf("%d warnings in %d outages", n, outage)
		}
		server.Restart()
		for _, s := range []string{"before", "during", "leased"} { // reading "before" shows the store that Redis lost it
			redistest.Eventually(t, func() error {
				if _, err := l.Get(t.Context(), key("before")); err != nil {
					return err
				}
				_, err := l.redis.Get(t.Context(), key(s))
				return err
			})
		}
		if n := l.log.count("shared cache is back"); n != outage {
			t.Errorf("%d recoveries logged in %d outages", n, outage)
		}
	}
}

// TestLayeredSilent uses a Redis that hangs. Only one operation may wait for the timeout.
func TestLayeredSilent(t *testing.T) {
	server := redistest.Start(t)
	l := openLayered(t, server.URL, store.Hooks{})
	if err := l.Put(t.Context(), storetest.Key(store.KindPlan, "a"), []byte("a")); err != nil {
		t.Fatal(err)
	}
	server.Pause()
	start := time.Now()
	for range 200 {
		if _, err := l.Get(t.Context(), storetest.Key(store.KindPlan, "b")); !errors.Is(err, store.ErrNotFound) {
			t.Fatalf("Get = %v", err)
		}
	}
	// A read that waits takes 0.3 s. The limit is between one such read and 200 of them.
	if took := time.Since(start); took > 30*time.Second {
		t.Errorf("200 reads took %v with a silent Redis and a timeout of 0.3 s", took)
	}
	server.Resume()
	redistest.Eventually(t, func() error {
		if !l.RemoteUp() {
			return errors.New("still down")
		}
		return nil
	})
}

// TestLayeredLost uses a Redis that loses a value unnoticed. The value must be published again when it is used.
func TestLayeredLost(t *testing.T) {
	server := redistest.Start(t)
	l := openLayered(t, server.URL, store.Hooks{})
	key := storetest.Key(store.KindScores, "")
	if err := l.Put(t.Context(), key, []byte("x")); err != nil {
		t.Fatal(err)
	}
	for name, lose := range map[string]func(){
		"restart": func() { server.Kill(); server.Restart() },
		"evicted": func() { server.Do("DEL", entryKey(key)) },
	} {
		t.Run(name, func(t *testing.T) {
			lose()
			redistest.Eventually(t, func() error {
				if _, err := l.Get(t.Context(), key); err != nil {
					t.Fatalf("Get = %v, want the value on disk", err)
				}
				if there, err := l.redis.Has(t.Context(), key); err != nil || !there {
					return fmt.Errorf("in redis: %t, %v", there, err)
				}
				return nil
			})
		})
	}
}

// TestLayeredStartsWithoutRedis starts a store while Redis is down.
func TestLayeredStartsWithoutRedis(t *testing.T) {
	server := redistest.Start(t)
	server.Kill()
	l := openLayered(t, server.URL, store.Hooks{})
	key := storetest.Key(store.KindScores, "")
	var computed atomic.Int32
	value, err := (store.Sharing{Store: l, Leaser: l, Log: slog.New(slog.DiscardHandler)}).Value(t.Context(), key,
		func(context.Context, store.Lease) ([]byte, error) { computed.Add(1); return []byte("scores"), nil })
	if err != nil || string(value) != "scores" || computed.Load() != 1 {
		t.Fatalf("Value = %q, %v after %d computations", value, err, computed.Load())
	}
	server.Restart()
	redistest.Eventually(t, func() error { _, err := l.redis.Get(t.Context(), key); return err })
}

// TestLayeredBrokenDisk breaks the local store. Get must then read from Redis, and Put must return an error.
func TestLayeredBrokenDisk(t *testing.T) {
	server := redistest.Start(t)
	l := openLayered(t, server.URL, store.Hooks{})
	key := storetest.Key(store.KindScores, "")
	if err := l.Put(t.Context(), key, []byte("scores")); err != nil {
		t.Fatal(err)
	}
	l.disk.Close()
	if got, err := l.Get(t.Context(), key); err != nil || string(got) != "scores" {
		t.Errorf("Get = %q, %v", got, err)
	}
	if err := l.Put(t.Context(), key, []byte("other")); err == nil {
		t.Error("Put without a disk succeeds")
	}
	if got, err := l.redis.Get(t.Context(), key); err != nil || string(got) != "other" {
		t.Errorf("Redis has %q, %v", got, err)
	}
}
