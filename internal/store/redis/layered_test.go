package redis

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"prunellm/internal/store"
	"prunellm/internal/store/disk"
	"prunellm/internal/store/redis/redistest"
	"prunellm/internal/store/storetest"
)

// syncBuffer is a log buffer for several goroutines.
type syncBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

func (b *syncBuffer) count(text string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Count(b.buffer.String(), text)
}

// layered is a Layered store with its disk store, its Redis store and its log.
type layered struct {
	*store.Layered
	disk  *disk.Store
	redis *Store
	dir   string
	log   *syncBuffer
}

func openLayered(t *testing.T, url string, hooks store.Hooks) layered {
	t.Helper()
	l := layered{dir: t.TempDir(), log: &syncBuffer{}}
	log := slog.New(slog.NewTextHandler(l.log, nil))
	var err error
	if l.disk, err = disk.Open(l.dir, disk.Options{Log: log, Hooks: hooks}); err != nil {
		t.Fatal(err)
	}
	l.redis = openTest(t, Options{URL: url, Log: log, Hooks: hooks, Timeout: 300 * time.Millisecond, LeaseTTL: 400 * time.Millisecond})
	l.Layered = store.NewLayered(store.LayeredOptions{Local: l.disk, Remote: l.redis, Log: log, Retry: 20 * time.Millisecond, RetryMax: 200 * time.Millisecond})
	t.Cleanup(func() {
		l.Close()
		l.Close()
		l.disk.Close()
	})
	return l
}

// dropDisk removes the local copy of a value.
func (l layered) dropDisk(t *testing.T, key store.Key) {
	t.Helper()
	if err := l.disk.Delete(t.Context(), key); err != nil {
		t.Fatal(err)
	}
}

func TestLayeredSuite(t *testing.T) {
	server := redistest.Start(t)
	client := server.Client()
	storetest.Suite(t, func(t *testing.T, hooks store.Hooks) storetest.Backend {
		server.Do("FLUSHALL")
		l := openLayered(t, server.URL, hooks)
		return storetest.Backend{Store: l, Rewrite: func(t *testing.T, key store.Key, change func([]byte) []byte) {
			t.Helper()
			rewrite(t, client, entryKey(key), change)
			path := filepath.Join(l.dir, filepath.FromSlash(strings.Replace(key.String(), "v1/", "v1/values/", 1)))
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, change(data), 0o600); err != nil {
				t.Fatal(err)
			}
		}}
	})
}

func TestLayeredLeaseSuite(t *testing.T) {
	server := redistest.Start(t)
	storetest.LeaseSuite(t, func(t *testing.T, n int) []storetest.Replica {
		server.Do("FLUSHALL")
		replicas := make([]storetest.Replica, n)
		for i := range replicas {
			l := openLayered(t, server.URL, store.Hooks{})
			replicas[i] = storetest.Replica{Store: l, Leaser: l}
		}
		return replicas
	})
}

// TestLayeredFills uses a second replica with an empty disk. The first read must come from Redis and the next one from
// its disk.
func TestLayeredFills(t *testing.T) {
	server := redistest.Start(t)
	var mu sync.Mutex
	var events []string
	hooks := store.Hooks{
		OnHit: func(store string, kind store.Kind) {
			mu.Lock()
			defer mu.Unlock()
			events = append(events, "hit "+store)
		},
		OnMiss: func(store string, kind store.Kind) {
			mu.Lock()
			defer mu.Unlock()
			events = append(events, "miss "+store)
		},
	}
	first := openLayered(t, server.URL, store.Hooks{})
	key := storetest.Key(store.KindDown, "0.2")
	value := storetest.Value(1, 200<<10)
	if err := first.Put(t.Context(), key, value); err != nil {
		t.Fatal(err)
	}
	second := openLayered(t, server.URL, hooks)
	for range 2 {
		if got, err := second.Get(t.Context(), key); err != nil || !bytes.Equal(got, value) {
			t.Fatalf("Get = %d bytes, %v", len(got), err)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if got := strings.Join(events, ", "); got != "miss disk, hit redis, hit disk" {
		t.Errorf("events: %s", got)
	}
}

// gated is a Redis store that refuses the first value and accepts the next one only when the test allows it.
type gated struct {
	*Store
	puts       atomic.Int32
	begun, may chan struct{}
}

func (g *gated) Put(ctx context.Context, key store.Key, value []byte) error {
	switch g.puts.Add(1) {
	case 1:
		return errors.New("refused")
	case 2:
		close(g.begun)
		<-g.may
	}
	return g.Store.Put(ctx, key, value)
}

// TestLayeredNewerMeanwhile stores a newer value while the older one is being published.
func TestLayeredNewerMeanwhile(t *testing.T) {
	server := redistest.Start(t)
	l := openLayered(t, server.URL, store.Hooks{})
	g := &gated{Store: l.redis, begun: make(chan struct{}), may: make(chan struct{})}
	layers := store.NewLayered(store.LayeredOptions{
		Local: l.disk, Remote: g, Log: slog.New(slog.DiscardHandler), Retry: 20 * time.Millisecond, RetryMax: 200 * time.Millisecond,
	})
	defer layers.Close()
	key := storetest.Key(store.KindPlan, "key")
	if err := layers.Put(t.Context(), key, []byte("older")); err != nil {
		t.Fatal(err)
	}
	<-g.begun
	if err := layers.Put(t.Context(), key, []byte("newer")); err != nil {
		t.Fatal(err)
	}
	close(g.may)
	redistest.Eventually(t, func() error {
		if got, err := l.redis.Get(t.Context(), key); err != nil || string(got) != "newer" {
			return fmt.Errorf("the shared store has %q, %v, want the newer value", got, err)
		}
		return nil
	})
}

// TestLayeredStale uses a leader that lost its lease while it computed. Redis must refuse its value, its own disk must
// keep it, and Put must return ErrStaleLease.
func TestLayeredStale(t *testing.T) {
	server := redistest.Start(t)
	l := openLayered(t, server.URL, store.Hooks{})
	key := storetest.Key(store.KindScores, "")
	lease := storetest.Acquire(t, l, key)
	defer lease.Close()
	server.Do("SET", leaseKey(key), "another", "PX", "60000")
	server.Do("SET", fenceKey(key), "99999999999999999")
	if err := lease.Put(t.Context(), key, []byte("mine")); !errors.Is(err, store.ErrStaleLease) {
		t.Fatalf("Put = %v, want ErrStaleLease", err)
	}
	if _, err := l.redis.Get(t.Context(), key); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Redis has the refused value: %v", err)
	}
	if value, err := l.disk.Get(t.Context(), key); err != nil || string(value) != "mine" {
		t.Errorf("disk has %q, %v", value, err)
	}
	if !l.RemoteUp() {
		t.Error("a refused write counts as an outage")
	}
}

// TestLayeredCorruptRemote damages a value that is only in Redis. It must be deleted, counted and reported as missing.
func TestLayeredCorruptRemote(t *testing.T) {
	server := redistest.Start(t)
	var corrupt atomic.Int32
	l := openLayered(t, server.URL, store.Hooks{OnCorrupt: func(string, store.Kind) { corrupt.Add(1) }})
	key := storetest.Key(store.KindScores, "")
	if err := l.Put(t.Context(), key, []byte("scores")); err != nil {
		t.Fatal(err)
	}
	rewrite(t, server.Client(), entryKey(key), func(b []byte) []byte { b[len(b)-1] ^= 1; return b })
	l.dropDisk(t, key)
	if _, err := l.Get(t.Context(), key); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("Get = %v, want ErrNotFound", err)
	}
	if corrupt.Load() != 1 || !l.RemoteUp() {
		t.Errorf("counted %d times, up %v", corrupt.Load(), l.RemoteUp())
	}
}
