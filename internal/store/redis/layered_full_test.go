package redis

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"prunellm/internal/store"
	"prunellm/internal/store/redis/redistest"
	"prunellm/internal/store/storetest"
)

// TestLayeredFull uses a Redis that refuses writes. Reads must continue. Values must stay local and be published once
// Redis has room.
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
		t.Fatalf("Acquire on a full Redis = %v, %v, want a local lease", ok, err)
	}
	if err := lease.Close(); err != nil {
		t.Fatal(err)
	}
	if !l.RemoteUp() {
		t.Error("a full Redis counts as down")
	}
	if n := l.log.count("shared cache refuses writes"); n != 1 {
		t.Errorf("%d warnings, want 1", n)
	}
	server.Do("CONFIG", "SET", "maxmemory", "0")
	redistest.Eventually(t, func() error { _, err := l.redis.Get(t.Context(), young); return err })
	redistest.Eventually(t, func() error {
		if l.log.count("accepts writes again") != 1 {
			return errors.New("recovery not logged")
		}
		return nil
	})
}

// TestLayeredFullLease uses a full Redis while there is nothing to publish. It expects only one warning until a lease
// can be acquired.
func TestLayeredFullLease(t *testing.T) {
	server := redistest.Start(t)
	l := openLayered(t, server.URL, store.Hooks{})
	key := storetest.Key(store.KindPlan, "0.2")
	server.Do("CONFIG", "SET", "maxmemory", "1")
	lease := storetest.Acquire(t, l, key)
	if err := lease.Close(); err != nil {
		t.Fatal(err)
	}
	redistest.Eventually(t, func() error { // count script calls, because Redis before 7.0 does not count refusals inside scripts
		if n := info(server, "commandstats", "cmdstat_evalsha:calls="); n < 4 {
			return fmt.Errorf("%d attempts so far", n)
		}
		return nil
	})
	if warned, back := l.log.count("shared cache refuses writes"), l.log.count("accepts writes again"); warned != 1 || back != 0 {
		t.Errorf("%d warnings and %d reports that writes are accepted, want 1 and 0", warned, back)
	}
	server.Do("CONFIG", "SET", "maxmemory", "0")
	redistest.Eventually(t, func() error {
		if l.log.count("accepts writes again") != 1 {
			return errors.New("recovery not logged")
		}
		return nil
	})
}

// TestLayeredRights uses users who each lack one permission. Everything else must work, and the log must not repeatedly
// say that a partly usable store is back.
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
				redistest.Eventually(t, func() error { // gives the store time to probe Redis again; the probes count too
					if n := commands(server) - before; n < 40 {
						return fmt.Errorf("only %d commands so far", n)
					}
					return nil
				})
			}
			if n := l.log.count("shared cache is back"); n > 0 {
				t.Errorf("the log says %d times that the shared cache is back", n)
			}
			if writes, again := l.log.count("refuses writes"), l.log.count("accepts writes again"); writes > 1 || again > 0 {
				t.Errorf("%d warnings of refused writes and %d reports that writes are accepted again", writes, again)
			}
			if l.log.count("hunter2") > 0 {
				t.Error("the log contains the password")
			}
		})
	}
}

// TestLayeredTooLarge uses a Redis that is too small for one value. Other values must be published and leases must be
// shared; the large value must be published once there is room.
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
						_ = other.Close() // the lease was free, which is reported below
					}
					return fmt.Errorf("the lease is not shared: %v", err)
				}
				return nil
			})
			server.Do("CONFIG", "SET", "maxmemory", "0")
			redistest.Eventually(t, func() error {
				got, err := l.redis.Get(t.Context(), large)
				if err == nil && !bytes.Equal(got, value) {
					return errors.New("Redis has a different value")
				}
				return err
			})
		})
	}
}
