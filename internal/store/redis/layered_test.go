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

// syncBuffer is a log that several goroutines write to.
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

// layered is a Layered store of a disk store and a Redis store, with what tests look at.
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

// dropDisk removes the local copy.
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

// TestLayeredFills has a second replica with an empty disk: the first read comes from Redis, the next from its disk.
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

// TestLayeredOutage kills Redis before, between and during operations: all succeed, a warning is logged once per outage,
// nothing but the first operation waits, and what was put meanwhile is in Redis afterwards.
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
		for _, s := range []string{"before", "during", "leased"} { // "before" is read below, which shows that Redis lost it
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

// TestLayeredSilent has a Redis that hangs: one operation waits for the timeout, the others do not.
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
	// Each read that waited would take 0.3 s: the limit lies between one that waits and 200 that do.
	if took := time.Since(start); took > 30*time.Second {
		t.Errorf("200 reads took %v beside a silent Redis with a timeout of 0.3 s", took)
	}
	server.Resume()
	redistest.Eventually(t, func() error {
		if !l.RemoteUp() {
			return errors.New("still down")
		}
		return nil
	})
}

// TestLayeredFull has a Redis that refuses writes: reads go on, values stay local and are published when it has room.
func TestLayeredFull(t *testing.T) {
	server := redistest.Start(t)
	l := openLayered(t, server.URL, store.Hooks{})
	old, young := storetest.Key(store.KindPlan, "old"), storetest.Key(store.KindPlan, "young")
	if err := l.Put(t.Context(), old, []byte("old")); err != nil {
		t.Fatal(err)
	}
	server.Do("CONFIG", "SET", "maxmemory", "1")
	for range 5 {
		if err := l.Put(t.Context(), young, []byte("young")); err != nil {
			t.Fatalf("Put on a full Redis = %v", err)
		}
		l.dropDisk(t, old)
		if got, err := l.Get(t.Context(), old); err != nil || string(got) != "old" {
			t.Fatalf("Get from a full Redis = %q, %v", got, err)
		}
	}
	lease, ok, err := l.Acquire(t.Context(), young)
	if err != nil || !ok {
		t.Fatalf("Acquire on a full Redis = %v, %v, want the lease of this machine", ok, err)
	}
	if err := lease.Close(); err != nil {
		t.Fatal(err)
	}
	if !l.RemoteUp() {
		t.Error("a full Redis counts as away")
	}
	if n := l.log.count("shared cache refuses writes"); n != 1 {
		t.Errorf("%d warnings, want 1", n)
	}
	server.Do("CONFIG", "SET", "maxmemory", "0")
	redistest.Eventually(t, func() error { _, err := l.redis.Get(t.Context(), young); return err })
	redistest.Eventually(t, func() error {
		if l.log.count("takes writes again") != 1 {
			return errors.New("recovery not logged")
		}
		return nil
	})
}

// TestLayeredFullLease has a Redis that is full while there is nothing to publish: one warning, until a lease can be had.
func TestLayeredFullLease(t *testing.T) {
	server := redistest.Start(t)
	l := openLayered(t, server.URL, store.Hooks{})
	key := storetest.Key(store.KindPlan, "0.2")
	server.Do("CONFIG", "SET", "maxmemory", "1")
	lease := storetest.Acquire(t, l, key)
	if err := lease.Close(); err != nil {
		t.Fatal(err)
	}
	redistest.Eventually(t, func() error { // scripts that run, since Redis before 7.0 counts no refusal inside a script
		if n := info(server, "commandstats", "cmdstat_evalsha:calls="); n < 4 {
			return fmt.Errorf("asked %d times", n)
		}
		return nil
	})
	if warned, back := l.log.count("shared cache refuses writes"), l.log.count("takes writes again"); warned != 1 || back != 0 {
		t.Errorf("%d warnings, and %d times writes were said to be taken, want 1 and 0", warned, back)
	}
	server.Do("CONFIG", "SET", "maxmemory", "0")
	redistest.Eventually(t, func() error {
		if l.log.count("takes writes again") != 1 {
			return errors.New("recovery not logged")
		}
		return nil
	})
}

// TestLayeredLost has a Redis that loses a value while nobody looks: it is published again when it is used.
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
					t.Fatalf("Get = %v, want what is on disk", err)
				}
				if there, err := l.redis.Has(t.Context(), key); err != nil || !there {
					return fmt.Errorf("in redis: %t, %v", there, err)
				}
				return nil
			})
		})
	}
}

// TestLayeredRights has users who lack one right each. What may be done goes on, and a store that is usable in part is not
// said to be back again and again.
func TestLayeredRights(t *testing.T) {
	server := redistest.Start(t)
	for _, missing := range []string{"getrange", "strlen", "exists", "hscan", "get", "set", "pttl", "type", "evalsha"} {
		t.Run(missing, func(t *testing.T) {
			server.Do("FLUSHALL")
			server.Do("ACL", "DELUSER", "worker")
			server.Do("ACL", "SETUSER", "worker", "on", ">hunter2", "~prunellm:*", "allchannels", "+@all", "-"+missing)
			l := openLayered(t, strings.Replace(server.URL, "//", "//worker:hunter2@", 1), store.Hooks{})
			for i := range 4 {
				key := storetest.Key(store.KindPlan, string(rune('a'+i)))
				lease := storetest.Acquire(t, l, key)
				if err := lease.Put(t.Context(), key, []byte("x")); err != nil {
					t.Errorf("Put = %v", err)
				}
				if err := lease.Close(); err != nil {
					t.Errorf("Close = %v", err)
				}
				l.dropDisk(t, storetest.Key(store.KindPlan, "none"))
				_, _ = l.Get(t.Context(), storetest.Key(store.KindPlan, "none"))
				if _, err := l.List(t.Context(), key.Model, key.Kind); err != nil {
					t.Errorf("List = %v", err)
				}
				before := commands(server)
				redistest.Eventually(t, func() error { // time in which a store that failed is asked again; these questions count too
					if n := commands(server) - before; n < 40 {
						return fmt.Errorf("%d commands", n)
					}
					return nil
				})
			}
			if n := l.log.count("shared cache is back"); n > 0 {
				t.Errorf("said %d times that it is back", n)
			}
			if writes, again := l.log.count("refuses writes"), l.log.count("takes writes again"); writes > 1 || again > 0 {
				t.Errorf("%d warnings of refused writes, %d times taken again", writes, again)
			}
			if l.log.count("hunter2") > 0 {
				t.Error("the password is in the log")
			}
		})
	}
}

// gated is a Redis store that refuses the first value, and takes the next one only when it may.
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

// TestLayeredNewerMeanwhile has a value that is put again while the older one is being published.
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

// TestLayeredTooLarge has a Redis that is smaller than one value: others get in, leases are shared, and the value once there is room.
func TestLayeredTooLarge(t *testing.T) {
	for _, policy := range []string{"noeviction", "allkeys-lru"} {
		t.Run(policy, func(t *testing.T) {
			server := redistest.Start(t)
			l := openLayered(t, server.URL, store.Hooks{})
			server.Do("CONFIG", "SET", "maxmemory-policy", policy)
			server.Do("CONFIG", "SET", "maxmemory", "8mb")
			large, small := storetest.Key(store.KindDown, "large"), storetest.Key(store.KindPlan, "small")
			value := bytes.Repeat([]byte("0123456789abcdef"), 1<<20) // 16 MiB
			if err := l.Put(t.Context(), large, value); err != nil {
				t.Fatal(err)
			}
			if err := l.Put(t.Context(), small, []byte("small")); err != nil {
				t.Fatal(err)
			}
			redistest.Eventually(t, func() error { _, err := l.redis.Get(t.Context(), small); return err })
			redistest.Eventually(t, func() error {
				lease, ok, err := l.Acquire(t.Context(), small)
				if err != nil || !ok {
					return fmt.Errorf("acquired %t, %w", ok, err)
				}
				defer lease.Close()
				if other, ok, err := l.redis.Acquire(t.Context(), small); err != nil || ok {
					if ok {
						_ = other.Close() // it was free, which is what is reported
					}
					return fmt.Errorf("the lease is not shared: %v", err)
				}
				return nil
			})
			server.Do("CONFIG", "SET", "maxmemory", "0")
			redistest.Eventually(t, func() error {
				got, err := l.redis.Get(t.Context(), large)
				if err == nil && !bytes.Equal(got, value) {
					return errors.New("another value")
				}
				return err
			})
		})
	}
}

// TestLayeredStartsWithoutRedis begins while Redis is away.
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

// TestLayeredStale has a leader that lost its lease to another while it computed: its value is refused by Redis, kept on
// its own disk, and the error says so.
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
		t.Error("a refusal counts as an outage")
	}
}

// TestLayeredCorruptRemote deletes, counts and reports as missing what is damaged in Redis alone.
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

// TestLayeredBrokenDisk serves from Redis when the local store cannot be read, and reports when it cannot be written.
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
