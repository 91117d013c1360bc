package redis

import (
	"context"
	"errors"
	"math/big"
	"sync/atomic"
	"testing"
	"time"

	"prunellm/internal/store"
	"prunellm/internal/store/redis/redistest"
	"prunellm/internal/store/storetest"
)

func TestLeaseSuite(t *testing.T) {
	server := redistest.Start(t)
	storetest.LeaseSuite(t, func(t *testing.T, n int) []storetest.Replica {
		server.Do("FLUSHALL")
		replicas := make([]storetest.Replica, n)
		for i := range replicas {
			s := openTest(t, Options{URL: server.URL})
			replicas[i] = storetest.Replica{Store: s, Leaser: s}
		}
		return replicas
	})
}

// die takes a lease for a process that dies immediately: nothing renews or releases it.
func die(t *testing.T, s *Store, key store.Key) *Lease {
	t.Helper()
	lease, ok, err := s.take(t.Context(), key)
	if err != nil || !ok {
		t.Fatalf("take = %v, %v", ok, err)
	}
	return lease
}

func takeOver(t *testing.T, s *Store, key store.Key) *Lease {
	t.Helper()
	var lease *Lease
	redistest.Eventually(t, func() error {
		var ok bool
		var err error
		if lease, ok, err = s.acquire(t.Context(), key); err == nil && !ok {
			err = errors.New("another replica holds the lease")
		}
		return err
	})
	return lease
}

// TestTakeover uses a leader that dies. Another replica must get the lease after its lifetime and not before. If the
// old leader was only stopped and writes later, Redis must refuse its writes.
func TestTakeover(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	const ttl = 3 * time.Second // long enough for the writes of the leader before it dies
	a := openTest(t, Options{URL: server.URL, LeaseTTL: ttl})
	b := openTest(t, Options{URL: server.URL, LeaseTTL: ttl})
	key := storetest.Key(store.KindDown, "0.2")
	start := time.Now()
	dead := die(t, a, key)
	if err := dead.SetProgress(t.Context(), []byte(`"working"`)); err != nil {
		t.Fatal(err)
	}
	if err := dead.Put(t.Context(), storetest.Key(store.KindPlan, "0.2"), []byte("early")); err != nil {
		t.Fatalf("Put by the holder = %v", err)
	}
	lease := takeOver(t, b, key)
	defer lease.Close()
	took := time.Since(start)
	if took < ttl*9/10 || took > ttl+30*time.Second {
		t.Errorf("taken over after %v, want about %v", took, ttl)
	}
	for _, size := range []int{10, 200 << 10} {
		if err := dead.Put(t.Context(), key, make([]byte, size)); !errors.Is(err, store.ErrStaleLease) {
			t.Errorf("Put of %d bytes with an old token = %v, want ErrStaleLease", size, err)
		}
	}
	if _, err := a.Get(t.Context(), key); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Get = %v: the refused value can be read", err)
	}
	if left := server.Client().Keys(t.Context(), "*:chunk:*").Val(); len(left) != 0 {
		t.Errorf("the refused value left chunks: %v", left)
	}
	if err := dead.SetProgress(t.Context(), []byte("1")); !errors.Is(err, store.ErrStaleLease) {
		t.Errorf("SetProgress by the dead leader = %v, want ErrStaleLease", err)
	}
	if held, err := dead.prolong(t.Context()); err != nil || held {
		t.Errorf("renewal by the dead leader = %v, %v, want refused", held, err)
	}
	if err := lease.Put(t.Context(), key, []byte("right")); err != nil {
		t.Errorf("Put by the new leader = %v", err)
	}
	if value, err := a.Get(t.Context(), key); err != nil || string(value) != "right" {
		t.Errorf("Get = %q, %v", value, err)
	}
}

// TestTokensGrow checks that tokens increase, even if Redis loses the fence key or the fence key is from the future.
func TestTokensGrow(t *testing.T) {
	server := redistest.Start(t)
	s := openTest(t, Options{URL: server.URL})
	key := storetest.Key(store.KindPlan, "0.2")
	client := server.Client()
	last := new(big.Int)
	for i, before := range []func(){
		func() {}, func() {}, func() { server.Do("FLUSHALL") }, func() { client.Set(t.Context(), fenceKey(key), "4102444800000000", 0) }, func() {},
		func() { client.Set(t.Context(), fenceKey(key), "rubbish", 0); last = new(big.Int) },
		func() { client.Set(t.Context(), fenceKey(key), "inf", 0) }, func() { client.Set(t.Context(), fenceKey(key), "nan", 0) },
		func() { client.Set(t.Context(), fenceKey(key), "9007199254740993000", 0) }, func() {},
	} {
		before()
		lease := takeOver(t, s, key)
		token, ok := new(big.Int).SetString(lease.Token(), 10)
		if !ok || token.Cmp(last) <= 0 {
			t.Errorf("step %d: token %q is not above %v", i, lease.Token(), last)
		}
		last = token
		if err := lease.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRenewal checks that a holder keeps its lease for several lifetimes, even if Redis evicts the lease or restarts
// and loses it.
func TestRenewal(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	var held atomic.Int32
	hooks := store.Hooks{OnLease: func(h bool) {
		if h {
			held.Add(1)
		} else {
			held.Add(-1)
		}
	}}
	const ttl = 4 * time.Second // renewed every second, so the machine may hang for three
	s := openTest(t, Options{URL: server.URL, LeaseTTL: ttl, Hooks: hooks})
	other := openTest(t, Options{URL: server.URL, LeaseTTL: ttl})
	key := storetest.Key(store.KindPlan, "0.2")
	lease := storetest.Acquire(t, s, key)
	client := server.Client()
	for range 2 {
		client.Del(t.Context(), leaseKey(key)) // like an eviction; no replica has taken the lease, so the next renewal acquires it again
		redistest.Eventually(t, func() error { return client.Get(t.Context(), leaseKey(key)).Err() })
	}
	left := client.PTTL(t.Context(), leaseKey(key)).Val()
	redistest.Eventually(t, func() error { // the TTL falls until a renewal resets it
		now := client.PTTL(t.Context(), leaseKey(key)).Val()
		if now <= left {
			left = now
			return errors.New("not renewed")
		}
		return nil
	})
	if _, ok, err := other.Acquire(t.Context(), key); err != nil || ok {
		t.Fatalf("Acquire while the holder renews the lease = %v, %v", ok, err)
	}
	select {
	case <-lease.Lost():
		t.Fatal("a renewed lease is lost")
	default:
	}
	if held.Load() != 1 {
		t.Errorf("OnLease reports %d leases, want 1", held.Load())
	}
	if err := lease.Close(); err != nil {
		t.Fatal(err)
	}
	if held.Load() != 0 {
		t.Errorf("OnLease reports %d leases after Close, want 0", held.Load())
	}
}

// TestLost checks that Lost is closed when another replica has the lease, and when Redis is down for a lifetime.
func TestLost(t *testing.T) {
	t.Parallel()
	const ttl = 900 * time.Millisecond
	for name, lose := range map[string]func(server *redistest.Server, key store.Key){
		"taken": func(server *redistest.Server, key store.Key) {
			server.Do("SET", leaseKey(key), "another", "PX", "60000")
			server.Do("SET", fenceKey(key), "99999999999999999")
		},
		"killed": func(server *redistest.Server, _ store.Key) { server.Kill() },
		"paused": func(server *redistest.Server, _ store.Key) { server.Pause() },
	} {
		t.Run(name, func(t *testing.T) {
			server := redistest.Start(t)
			lost := make(chan struct{})
			s := openTest(t, Options{URL: server.URL, LeaseTTL: ttl, Timeout: 100 * time.Millisecond, Hooks: store.Hooks{OnLease: func(held bool) {
				if !held {
					close(lost)
				}
			}}})
			key := storetest.Key(store.KindPlan, "0.2")
			lease := storetest.Acquire(t, s, key)
			start := time.Now()
			lose(server, key)
			select {
			case <-lease.Lost():
			case <-time.After(30 * time.Second):
				t.Fatal("Lost is never closed")
			}
			<-lost
			if took := time.Since(start); took > ttl+30*time.Second {
				t.Errorf("lost after %v, want about %v", took, ttl)
			}
			lease.Close() // may fail, because Redis may be down, but must not hang
		})
	}
}

// TestCallerGone checks that a lease survives the context of Acquire. It lasts until Close.
func TestCallerGone(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	const ttl = 2 * time.Second // a busy machine may delay a renewal
	s := openTest(t, Options{URL: server.URL, LeaseTTL: ttl})
	key := storetest.Key(store.KindPlan, "0.2")
	ctx, cancel := context.WithCancel(t.Context())
	lease, ok, err := s.Acquire(ctx, key)
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	cancel()
	select {
	case <-lease.Lost():
		t.Error("the lease is lost when its caller's context ends")
	case <-time.After(2 * ttl):
	}
	if err := lease.Close(); err != nil {
		t.Error(err)
	}
}

// TestForeignLease uses a lease key without a TTL, which this package never writes. It must not block forever.
func TestForeignLease(t *testing.T) {
	server := redistest.Start(t)
	s := openTest(t, Options{URL: server.URL})
	key := storetest.Key(store.KindPlan, "0.2")
	server.Do("SET", leaseKey(key), "for ever")
	lease := storetest.Acquire(t, s, key)
	server.Do("SET", progressKey(key), "not json")
	if progress, err := s.Progress(t.Context(), key); err != nil || progress != nil {
		t.Errorf("Progress = %q, %v, want none", progress, err)
	}
	server.Do("SETRANGE", progressKey(key), 100<<20, "x")
	if progress, err := s.Progress(t.Context(), key); err != nil || progress != nil {
		t.Errorf("Progress of 100 MiB = %d bytes, %v, want none", len(progress), err)
	}
	if err := lease.Close(); err != nil {
		t.Fatal(err)
	}
}
