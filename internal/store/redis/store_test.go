package redis

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"prunellm/internal/store"
	"prunellm/internal/store/redis/redistest"
	"prunellm/internal/store/storetest"
)

func TestMain(m *testing.M) {
	LogClient(slog.New(slog.DiscardHandler))
	if url := os.Getenv(leaderURL); url != "" {
		os.Exit(beLeader(url))
	}
	// The client probes a dead server once a second, and only then notices that it was closed itself.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial"))
}

func openTest(t *testing.T, o Options) *Store {
	t.Helper()
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// rewrite changes an entry's bytes in Redis.
func rewrite(t *testing.T, client redis.UniversalClient, name string, change func([]byte) []byte) {
	t.Helper()
	value, err := client.Get(t.Context(), name).Bytes()
	if err != nil {
		t.Fatalf("get %s: %v", name, err)
	}
	if err := client.Set(t.Context(), name, change(bytes.Clone(value)), 0).Err(); err != nil {
		t.Fatal(err)
	}
}

func TestSuite(t *testing.T) {
	server := redistest.Start(t)
	client := server.Client()
	for name, chunkBytes := range map[string]int64{"default chunks": 0, "small chunks": 20 << 10} {
		t.Run(name, func(t *testing.T) {
			storetest.Suite(t, func(t *testing.T, hooks store.Hooks) storetest.Backend {
				server.Do("FLUSHALL")
				s := openTest(t, Options{URL: server.URL, Hooks: hooks, ChunkBytes: chunkBytes})
				return storetest.Backend{Store: s, Rewrite: func(t *testing.T, key store.Key, change func([]byte) []byte) {
					t.Helper()
					rewrite(t, client, entryKey(key), change)
				}}
			})
		})
	}
}

// TestNothingLeft deletes, overwrites and corrupts chunked entries. No chunk may remain for long. Chunks of replaced
// entries are deleted a little later, so that readers can finish.
func TestNothingLeft(t *testing.T) {
	server := redistest.Start(t)
	s := openTest(t, Options{URL: server.URL, ChunkBytes: 50 << 10})
	client := server.Client()
	key := storetest.Key(store.KindDown, "0.2")
	chunks := func() (staying int) {
		names, err := client.Keys(t.Context(), "*:chunk:*").Result()
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if client.PTTL(t.Context(), name).Val() > retiredTTL {
				staying++
			}
		}
		return staying
	}
	put := func(size int) {
		if err := s.Put(t.Context(), key, storetest.Value(uint64(size), size)); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct {
		name string
		do   func()
		want int
	}{
		{"put", func() { put(170 << 10) }, 4},
		{"overwrite", func() { put(110 << 10) }, 3},
		{"overwrite with an inline one", func() { put(10) }, 0},
		{"put again", func() { put(300 << 10) }, 6},
		{"delete", func() {
			if err := s.Delete(t.Context(), key); err != nil {
				t.Fatal(err)
			}
		}, 0},
		{"corrupt header", func() {
			put(300 << 10)
			rewrite(t, client, entryKey(key), func([]byte) []byte { return []byte("x") })
			if _, err := s.Get(t.Context(), key); !errors.Is(err, store.ErrCorrupt) {
				t.Fatalf("Get = %v", err)
			}
		}, 0},
	} {
		step.do()
		if got := chunks(); got != step.want {
			t.Errorf("after %s: %d chunks, want %d", step.name, got, step.want)
		}
	}
}

// TestChunkDamage damages a chunk in each way that Redis allows.
func TestChunkDamage(t *testing.T) {
	server := redistest.Start(t)
	client := server.Client()
	for name, damage := range map[string]func(ctx context.Context, chunk string) error{
		"missing":   func(ctx context.Context, chunk string) error { return client.Del(ctx, chunk).Err() },
		"truncated": func(ctx context.Context, chunk string) error { return client.Set(ctx, chunk, "x", 0).Err() },
		"longer":    func(ctx context.Context, chunk string) error { return client.Append(ctx, chunk, "x").Err() },
		"altered":   func(ctx context.Context, chunk string) error { return client.SetRange(ctx, chunk, 7, "altered").Err() },
		"wrong type": func(ctx context.Context, chunk string) error {
			client.Del(ctx, chunk)
			return client.LPush(ctx, chunk, "x").Err()
		},
	} {
		t.Run(name, func(t *testing.T) {
			var corrupt atomic.Int32
			s := openTest(t, Options{URL: server.URL, ChunkBytes: 50 << 10, Hooks: store.Hooks{OnCorrupt: func(string, store.Kind) { corrupt.Add(1) }}})
			key := storetest.Key(store.KindDown, "0.2")
			if err := s.Put(t.Context(), key, storetest.Value(1, 170<<10)); err != nil {
				t.Fatal(err)
			}
			names, err := client.Keys(t.Context(), "*:chunk:*").Result()
			if err != nil || len(names) != 4 {
				t.Fatalf("chunks: %v, %v", names, err)
			}
			slices.Sort(names)
			if err := damage(t.Context(), names[1]); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Get(t.Context(), key); !errors.Is(err, store.ErrCorrupt) {
				t.Fatalf("Get = %v, want ErrCorrupt", err)
			}
			if corrupt.Load() != 1 {
				t.Fatalf("counted %d times, want 1", corrupt.Load())
			}
			if left := client.DBSize(t.Context()).Val(); left != 0 {
				t.Fatalf("%d keys remain, want none", left)
			}
		})
	}
}

// TestWrongType puts other Redis types in place of each key. The store must recover from all of them.
func TestWrongType(t *testing.T) {
	server := redistest.Start(t)
	client := server.Client()
	s := openTest(t, Options{URL: server.URL, LeaseTTL: time.Second})
	key := storetest.Key(store.KindPlan, "0.2")
	for _, name := range []string{entryKey(key), indexKey(key.Model), fenceKey(key), leaseKey(key), progressKey(key)} {
		client.LPush(t.Context(), name, "x")
	}
	if _, err := s.Get(t.Context(), key); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("Get = %v, want ErrCorrupt", err)
	}
	if _, err := s.Get(t.Context(), key); !errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrCorrupt) {
		t.Errorf("second Get = %v, want only ErrNotFound", err)
	}
	if keys, err := s.List(t.Context(), key.Model, key.Kind); err != nil || len(keys) != 0 {
		t.Errorf("List = %v, %v", keys, err)
	}
	if progress, err := s.Progress(t.Context(), key); err != nil || progress != nil {
		t.Errorf("Progress = %q, %v", progress, err)
	}
	client.LPush(t.Context(), entryKey(key), "x")
	lease := storetest.Acquire(t, s, key)
	defer lease.Close()
	if err := errors.Join(lease.SetProgress(t.Context(), []byte("1")), lease.Put(t.Context(), key, []byte("plan"))); err != nil {
		t.Fatalf("progress and put over wrong types = %v", err)
	}
	if value, err := s.Get(t.Context(), key); err != nil || string(value) != "plan" {
		t.Errorf("Get = %q, %v", value, err)
	}
	if keys, err := s.List(t.Context(), key.Model, key.Kind); err != nil || !slices.Equal(keys, []store.Key{key}) {
		t.Errorf("List = %v, %v", keys, err)
	}
}

// TestDamageReplaced checks that drop does not delete an entry that has been replaced since it was found to be damaged.
func TestDamageReplaced(t *testing.T) {
	server := redistest.Start(t)
	s := openTest(t, Options{URL: server.URL})
	key := storetest.Key(store.KindDown, "0.2")
	head := func() string {
		return server.Client().GetRange(t.Context(), entryKey(key), 0, store.MaxHeaderBytes-1).Val()
	}
	for _, size := range []int{10, 100 << 10} {
		value := storetest.Value(1, size)
		if err := s.Put(t.Context(), key, value); err != nil {
			t.Fatal(err)
		}
		found := head()
		if err := s.Put(t.Context(), key, value); err != nil { // the same bytes in another write
			t.Fatal(err)
		}
		for _, old := range []string{found, ""} {
			if result, err := s.drop(t.Context(), key, old); err != nil || result != "changed" {
				t.Errorf("drop = %q, %v, want changed", result, err)
			}
		}
		if got, err := s.Get(t.Context(), key); err != nil || !bytes.Equal(got, value) {
			t.Errorf("Get = %d bytes, %v", len(got), err)
		}
		if result, err := s.drop(t.Context(), key, head()); err != nil || result != "dropped" {
			t.Errorf("drop = %q, %v, want dropped", result, err)
		}
		if result, err := s.drop(t.Context(), key, found); err != nil || result != "none" {
			t.Errorf("drop = %q, %v, want none", result, err)
		}
	}
}

// TestChunkEvictedWhileWriting checks that a value without all of its chunks does not become valid.
func TestChunkEvictedWhileWriting(t *testing.T) {
	server := redistest.Start(t)
	s := openTest(t, Options{URL: server.URL})
	key := storetest.Key(store.KindDown, "0.2")
	if err := s.Put(t.Context(), key, []byte("old")); err != nil {
		t.Fatal(err)
	}
	value := storetest.Value(1, 100<<10)
	header := store.NewHeader(key, value, 50<<10)
	line, err := header.Encode()
	if err != nil {
		t.Fatal(err)
	}
	chunks := chunkKeys(key, header)
	if err := s.writeChunks(t.Context(), chunks, header, value); err != nil {
		t.Fatal(err)
	}
	server.Do("DEL", chunks[1])
	err = s.commit(t.Context(), commitRequest{key: key, header: header, entry: line, chunks: chunks, leased: key})
	if err == nil || errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrStaleLease) {
		t.Errorf("commit = %v, want an error", err)
	}
	if got, err := s.Get(t.Context(), key); err != nil || string(got) != "old" {
		t.Errorf("Get = %d bytes, %v, want the old value", len(got), err)
	}
}

// TestLyingManifest uses a header that claims 4 GiB in chunks that do not exist. Get must not allocate that much.
func TestLyingManifest(t *testing.T) {
	server := redistest.Start(t)
	s := openTest(t, Options{URL: server.URL})
	key := storetest.Key(store.KindDown, "0.2")
	lie := store.NewHeader(key, []byte("x"), 1)
	lie.Size, lie.ChunkBytes, lie.Chunks = store.MaxValueBytes, 32<<20, 128
	line, err := lie.Encode()
	if err != nil {
		t.Fatal(err)
	}
	client := server.Client()
	allocated := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := client.Set(b.Context(), entryKey(key), line, 0).Err(); err != nil {
				b.Fatal(err)
			}
			if _, err := s.Get(b.Context(), key); !errors.Is(err, store.ErrCorrupt) {
				b.Fatalf("Get = %v, want ErrCorrupt", err)
			}
		}
	}).AllocedBytesPerOp()
	if allocated == 0 || allocated > 4<<20 {
		t.Errorf("Get allocates %d bytes, want at most 4 MiB", allocated)
	}
}

// BenchmarkGet reads values of the sizes that a server reads when it starts.
func BenchmarkGet(b *testing.B) {
	server := redistest.Start(b)
	s, err := Open(Options{URL: server.URL, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	for _, size := range []int{6 << 10, 180 << 10, 20 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			key := storetest.Key(store.KindDown, fmt.Sprint(size))
			if err := s.Put(b.Context(), key, storetest.Value(1, size)); err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Get(b.Context(), key); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
