package redis

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"prunellm/internal/store"
	"prunellm/internal/store/redis/redistest"
	"prunellm/internal/store/storetest"
)

// unavailable checks that every operation returns ErrUnavailable within the limit. It returns the text of all errors.
func unavailable(t *testing.T, s *Store, limit time.Duration) string {
	t.Helper()
	key := storetest.Key(store.KindPlan, "0.2")
	var texts strings.Builder
	for name, operation := range map[string]func(context.Context) error{
		"Get":      func(ctx context.Context) error { _, err := s.Get(ctx, key); return err },
		"Put":      func(ctx context.Context) error { return s.Put(ctx, key, []byte("x")) },
		"Put long": func(ctx context.Context) error { return s.Put(ctx, key, make([]byte, 100<<10)) },
		"Delete":   func(ctx context.Context) error { return s.Delete(ctx, key) },
		"Has":      func(ctx context.Context) error { _, err := s.Has(ctx, key); return err },
		"List":     func(ctx context.Context) error { _, err := s.List(ctx, key.Model, key.Kind); return err },
		"Size":     func(ctx context.Context) error { _, err := s.Sizes(ctx, key.Model); return err },
		"Progress": func(ctx context.Context) error { _, err := s.Progress(ctx, key); return err },
		"Acquire":  func(ctx context.Context) error { _, _, err := s.Acquire(ctx, key); return err },
		"Ping":     s.Ping,
	} {
		start := time.Now()
		err := operation(t.Context())
		if !errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s = %v, want ErrUnavailable", name, err)
		}
		if took := time.Since(start); took > limit {
			t.Errorf("%s took %v, want at most %v", name, took, limit)
		}
		if err != nil {
			texts.WriteString(err.Error() + "\n")
		}
	}
	return texts.String()
}

func TestNoServer(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	for name, url := range map[string]string{
		"no listener": "redis://user:hunter2@127.0.0.1:1",
		"no socket":   "unix://user:hunter2@" + filepath.Join(t.TempDir(), "none"),
		"cluster":     "redis-cluster://user:hunter2@127.0.0.1:1,127.0.0.1:2",
		"sentinel":    "redis-sentinel://user:hunter2@127.0.0.1:1,127.0.0.1:2/master",
	} {
		t.Run(name, func(t *testing.T) {
			s := openTest(t, Options{URL: url, Timeout: 300 * time.Millisecond})
			if texts := unavailable(t, s, 30*time.Second); strings.Contains(texts, "hunter2") {
				t.Errorf("an error contains the password: %s", texts)
			}
		})
	}
}

// TestSilentServer uses a server that accepts connections and never responds.
func TestSilentServer(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s := openTest(t, Options{URL: server.URL, Timeout: 100 * time.Millisecond})
	if err := s.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	server.Pause()
	unavailable(t, s, 30*time.Second)
	server.Resume()
	// The store's timeout is so short that a busy machine may sometimes exceed it.
	key := storetest.Key(store.KindPlan, "0.2")
	err := s.Put(t.Context(), key, []byte("x"))
	for end := time.Now().Add(time.Minute); err != nil && time.Now().Before(end); {
		err = s.Put(t.Context(), key, []byte("x"))
	}
	if err != nil {
		t.Fatalf("Put after the server continues = %v", err)
	}
}

// TestSlowServer uses a server that responds late. Operations must succeed below the timeout and fail above it.
func TestSlowServer(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	proxy := redistest.StartProxy(t, server)
	s := openTest(t, Options{URL: proxy.URL, Timeout: 30 * time.Second})
	key := storetest.Key(store.KindPlan, "0.2")
	proxy.SetDelay(20 * time.Millisecond)
	if err := s.Put(t.Context(), key, []byte("x")); err != nil {
		t.Fatalf("Put on a slow server = %v", err)
	}
	if value, err := s.Get(t.Context(), key); err != nil || string(value) != "x" {
		t.Fatalf("Get on a slow server = %q, %v", value, err)
	}
	impatient := openTest(t, Options{URL: proxy.URL, Timeout: 50 * time.Millisecond})
	proxy.SetDelay(200 * time.Millisecond)
	unavailable(t, impatient, 30*time.Second)
}

// TestCallerDeadline checks that the caller's deadline gives the caller's error and not ErrUnavailable.
func TestCallerDeadline(t *testing.T) {
	server := redistest.Start(t)
	s := openTest(t, Options{URL: server.URL})
	server.Pause()
	defer server.Resume()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := s.Get(ctx, storetest.Key(store.KindPlan, "0.2")); err == nil {
		t.Fatal("Get from a silent server succeeds")
	}
	if ctx.Err() == nil {
		t.Fatal("Get returned before its deadline")
	}
}

// TestCutWhileReading breaks the connection at many points of a chunked read. Each read must give the right bytes or
// ErrUnavailable, and the entry must not count as corrupt.
func TestCutWhileReading(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	proxy := redistest.StartProxy(t, server)
	direct := openTest(t, Options{URL: server.URL, ChunkBytes: 100 << 10})
	key := storetest.Key(store.KindDown, "0.2")
	value := storetest.Value(1, 500<<10)
	if err := direct.Put(t.Context(), key, value); err != nil {
		t.Fatal(err)
	}
	failed := 0
	for _, cut := range []int64{0, 10, 200, 500, 800, 1000, 50 << 10, 150 << 10, 300 << 10, 501 << 10, 600 << 10} {
		s := openTest(t, Options{URL: proxy.URL, Timeout: 300 * time.Millisecond})
		proxy.CutAfter(cut)
		got, err := s.Get(t.Context(), key)
		switch {
		case err == nil && !bytes.Equal(got, value):
			t.Errorf("cut after %d bytes: wrong bytes", cut)
		case err != nil && !errors.Is(err, store.ErrUnavailable):
			t.Errorf("cut after %d bytes: %v, want ErrUnavailable", cut, err)
		case err != nil:
			failed++
		}
	}
	if failed < 5 {
		t.Errorf("%d reads failed, want most", failed)
	}
	if got, err := direct.Get(t.Context(), key); err != nil || !bytes.Equal(got, value) {
		t.Errorf("Get afterwards = %d bytes, %v", len(got), err)
	}
}

// TestCutWhileWriting breaks the connection at many points of a chunked write. Readers must see either the old value or
// the new one.
func TestCutWhileWriting(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	proxy := redistest.StartProxy(t, server)
	direct := openTest(t, Options{URL: server.URL})
	key := storetest.Key(store.KindDown, "0.2")
	old, value := storetest.Value(1, 100<<10), storetest.Value(2, 500<<10)
	if err := direct.Put(t.Context(), key, old); err != nil {
		t.Fatal(err)
	}
	for _, cut := range []int64{0, 150, 200, 210, 220, 230, 240, 260, 280, 300} { // bytes of responses, which are short
		s := openTest(t, Options{URL: proxy.URL, Timeout: 300 * time.Millisecond, ChunkBytes: 100 << 10})
		proxy.CutAfter(cut)
		putErr := s.Put(t.Context(), key, value)
		got, err := direct.Get(t.Context(), key)
		if err != nil || !bytes.Equal(got, old) && !bytes.Equal(got, value) {
			t.Fatalf("cut after %d bytes: Get = %d bytes, %v", cut, len(got), err)
		}
		if putErr == nil && !bytes.Equal(got, value) {
			t.Fatalf("cut after %d bytes: Put succeeded, but Get gives the old value", cut)
		}
	}
}

// TestRestart restarts the server, which loses all data and connections. The store must continue without being opened
// again.
func TestRestart(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s := openTest(t, Options{URL: server.URL})
	key := storetest.Key(store.KindPlan, "0.2")
	for range 2 {
		if err := s.Put(t.Context(), key, []byte("x")); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Get(t.Context(), key); err != nil {
			t.Fatal(err)
		}
		server.Kill()
		unavailable(t, s, 30*time.Second)
		server.Restart()
		redistest.Eventually(t, func() error { // after many failures the client's pool probes the server only once a second
			if _, err := s.Get(t.Context(), key); !errors.Is(err, store.ErrNotFound) {
				return fmt.Errorf("Get after a restart = %w, want ErrNotFound", err)
			}
			return nil
		})
	}
}

// TestFull fills Redis under each eviction policy. Without eviction, writes fail and reads work; with eviction, entries
// vanish. In both cases reads must give right values, and a failed write must keep the earlier value.
func TestFull(t *testing.T) {
	t.Parallel()
	for _, policy := range []string{
		"noeviction", "allkeys-lru", "allkeys-lfu", "allkeys-random", "volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl",
	} {
		t.Run(policy, func(t *testing.T) {
			server := redistest.Start(t, "--maxmemory", "6mb", "--maxmemory-policy", policy)
			s := openTest(t, Options{URL: server.URL, ChunkBytes: 200 << 10})
			refused, found := 0, 0
			for i := range 20 {
				key := storetest.Key(store.KindDown, string(rune('a'+i)))
				value := storetest.Value(uint64(i), 700<<10)
				err := s.Put(t.Context(), key, value)
				if errors.Is(err, store.ErrUnavailable) {
					t.Fatalf("Put = %v, want an error other than ErrUnavailable, because the server responds", err)
				}
				if err != nil {
					refused++
				}
				got, getErr := s.Get(t.Context(), key)
				switch {
				case getErr == nil && !bytes.Equal(got, value):
					t.Fatal("Get gives wrong bytes")
				case getErr == nil:
					found++
				case !errors.Is(getErr, store.ErrNotFound):
					t.Fatalf("Get = %v", getErr)
				}
			}
			if found == 0 {
				t.Error("no value was stored")
			}
			if policy == "noeviction" && (refused == 0 || found+refused != 20) {
				t.Errorf("of 20 values Redis refused %d and has %d, want 20 together", refused, found)
			}
		})
	}
}

// TestRefusals uses servers that can be read but not written. Reads must still work.
func TestRefusals(t *testing.T) {
	server := redistest.StartDebug(t)
	s := openTest(t, Options{URL: server.URL})
	key := storetest.Key(store.KindPlan, "0.2")
	if err := s.Put(t.Context(), key, []byte("x")); err != nil {
		t.Fatal(err)
	}
	restricted := strings.Replace(server.URL, "redis://", "redis://reader:hunter2@", 1)
	for name, breakIt := range map[string]func() string{
		"failed snapshot": func() string { // happens if the disk of Redis is full
			server.Do("CONFIG", "SET", "dir", "/proc")
			server.Do("CONFIG", "SET", "save", "3600 1")
			server.Do("BGSAVE")
			redistest.Eventually(t, func() error {
				if info := server.Do("INFO", "persistence").(string); !strings.Contains(info, "rdb_last_bgsave_status:err") {
					return errors.New("the snapshot has not failed")
				}
				return nil
			})
			return server.URL
		},
		"read-only replica": func() string { server.Do("REPLICAOF", "127.0.0.1", "1"); return server.URL },
		"acl": func() string {
			server.Do("ACL", "SETUSER", "reader", "on", ">hunter2", "~prunellm:*", "+@read", "+@connection")
			return restricted
		},
	} {
		t.Run(name, func(t *testing.T) {
			reader := openTest(t, Options{URL: breakIt()})
			defer server.Do("REPLICAOF", "NO", "ONE")
			defer server.Do("CONFIG", "SET", "save", "")
			for i := range 2 {
				if value, err := reader.Get(t.Context(), key); err != nil || string(value) != "x" {
					t.Fatalf("Get = %q, %v", value, err)
				}
				err := reader.Put(t.Context(), key, bytes.Repeat([]byte("y"), i*100<<10))
				if err == nil || errors.Is(err, store.ErrUnavailable) {
					t.Fatalf("Put = %v, want an error other than ErrUnavailable", err)
				}
				if strings.Contains(err.Error(), "hunter2") {
					t.Fatalf("an error contains the password: %v", err)
				}
			}
		})
	}
}

// TestCredentials uses wrong and missing passwords. The store must be unavailable, and no error or log line may contain
// the password.
func TestCredentials(t *testing.T) {
	server := redistest.Start(t, "--requirepass", "right")
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	for name, user := range map[string]string{"none": "", "wrong": ":hunter2@", "unknown user": "hunter2:hunter2@"} {
		t.Run(name, func(t *testing.T) {
			s := openTest(t, Options{URL: strings.Replace(server.URL, "//", "//"+user, 1), Log: logger})
			if texts := unavailable(t, s, 30*time.Second); strings.Contains(texts, "hunter2") {
				t.Errorf("an error contains the password: %s", texts)
			}
		})
	}
	s := openTest(t, Options{URL: strings.Replace(server.URL, "//", "//:right@", 1), Log: logger})
	if err := s.Ping(t.Context()); err != nil {
		t.Errorf("Ping with the right password = %v", err)
	}
	if strings.Contains(log.String(), "hunter2") {
		t.Errorf("the log contains the password: %s", log.String())
	}
}

// TestURLOfFile uses a URL with a newline at the end, as a secret made from a file has.
func TestURLOfFile(t *testing.T) {
	server := redistest.Start(t)
	if err := openTest(t, Options{URL: server.URL + "\r\n"}).Ping(t.Context()); err != nil {
		t.Errorf("Ping = %v", err)
	}
}

func TestBadURL(t *testing.T) {
	for _, url := range []string{
		"", "hunter2", "http://user:hunter2@host", "redis://user:hunter2@host:x", "redis://user:hunter2@host/%zz", "redis://user:hunter2@host/notanumber",
		"redis://user:hunter2@host/0?nonsense=1", "unix://user:hunter2@", "redis-sentinel://user:hunter2@host:1", "redis-cluster://user:hunter2@host:1/0",
		"redis-cluster://user:hunter2@host:1,,", "redis-sentinel://user:hunter2@host/%zz", "redis-x://user:hunter2@host", "\x00redis://hunter2",
	} {
		s, err := Open(Options{URL: url})
		if err == nil {
			s.Close()
			t.Errorf("Open(%q) succeeds", url)
			continue
		}
		if strings.Contains(err.Error(), "hunter2") || !strings.HasPrefix(err.Error(), "redis url: ") || strings.Contains(err.Error(), "\n") {
			t.Errorf("Open(%q) = %q", url, err)
		}
	}
	for name, o := range map[string]Options{
		"lease ttl": {LeaseTTL: time.Millisecond}, "chunks": {ChunkBytes: 1 << 30}, "limit": {MaxValueBytes: -1}, "timeout": {Timeout: -1}, "model": {MaxModelBytes: -1},
	} {
		o.URL = "redis://localhost"
		if s, err := Open(o); err == nil {
			s.Close()
			t.Errorf("Open with an invalid %s succeeds", name)
		}
	}
}
