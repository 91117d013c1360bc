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
