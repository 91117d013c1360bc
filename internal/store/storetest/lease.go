package storetest

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"prunellm/internal/store"
)

// Replica is one of several replicas that share a store.
type Replica struct {
	Store  store.Store
	Leaser store.Leaser
}

// LeaseSuite checks the contract of store.Leaser. open must return replicas that share an empty store.
func LeaseSuite(t *testing.T, open func(t *testing.T, replicas int) []Replica) {
	t.Run("exclusive", func(t *testing.T) { testExclusive(t, open(t, 2)) })
	t.Run("progress", func(t *testing.T) { testProgress(t, open(t, 2)) })
	t.Run("compute once", func(t *testing.T) { testComputeOnce(t, open(t, 10)) })
	t.Run("leader fails", func(t *testing.T) { testLeaderFails(t, open(t, 2)) })
	t.Run("cancelled wait", func(t *testing.T) { testCancelledWait(t, open(t, 2)) })
}

// Acquire acquires a lease or fails the test.
func Acquire(t *testing.T, leaser store.Leaser, key store.Key) store.Lease {
	t.Helper()
	lease, ok, err := leaser.Acquire(t.Context(), key)
	if err != nil || !ok {
		t.Fatalf("Acquire(%s) = %v, %v, want the lease", key, ok, err)
	}
	return lease
}

func wantHeld(t *testing.T, leaser store.Leaser, key store.Key) {
	t.Helper()
	if lease, ok, err := leaser.Acquire(t.Context(), key); err != nil || ok {
		t.Fatalf("Acquire(%s) = %v, %v, %v, want another replica to hold the lease", key, lease, ok, err)
	}
}

func testExclusive(t *testing.T, replicas []Replica) {
	a, b := replicas[0], replicas[1]
	key, other := Key(store.KindScores, ""), Key(store.KindPlan, "0.2")
	lease := Acquire(t, a.Leaser, key)
	wantHeld(t, b.Leaser, key)
	wantHeld(t, a.Leaser, key)
	second := Acquire(t, b.Leaser, other)
	if err := lease.Put(t.Context(), other, []byte("plan")); err != nil {
		t.Fatalf("Put of another key of the model under a lease = %v", err)
	}
	wantValue(t, b.Store, other, []byte("plan"))
	foreign := key
	foreign.Model = "f" + foreign.Model[1:]
	if err := lease.Put(t.Context(), foreign, nil); err == nil {
		t.Fatal("Put accepts a key of another model")
	}
	for range 2 {
		if err := lease.Close(); err != nil {
			t.Fatalf("Close = %v", err)
		}
	}
	third := Acquire(t, b.Leaser, key)
	for _, l := range []store.Lease{second, third} {
		if err := l.Close(); err != nil {
			t.Fatalf("Close = %v", err)
		}
	}
	bad := key
	bad.Detail = "../x"
	if _, _, err := a.Leaser.Acquire(t.Context(), bad); err == nil {
		t.Fatal("Acquire accepts a bad key")
	}
}

func testProgress(t *testing.T, replicas []Replica) {
	a, b := replicas[0], replicas[1]
	key := Key(store.KindScores, "")
	wantProgress := func(want string) {
		t.Helper()
		if got, err := b.Leaser.Progress(t.Context(), key); err != nil || string(got) != want {
			t.Fatalf("Progress = %q, %v, want %q", got, err, want)
		}
	}
	wantProgress("")
	lease := Acquire(t, a.Leaser, key)
	for _, note := range []string{`{"done":1}`, `{"done":2}`} {
		if err := lease.SetProgress(t.Context(), []byte(note)); err != nil {
			t.Fatalf("SetProgress = %v", err)
		}
		wantProgress(note)
	}
	for _, bad := range [][]byte{[]byte("{"), make([]byte, store.MaxProgressBytes+1)} {
		if err := lease.SetProgress(t.Context(), bad); err == nil {
			t.Fatalf("SetProgress accepts %d bytes that are not valid", len(bad))
		}
	}
	if err := lease.Close(); err != nil {
		t.Fatal(err)
	}
	wantProgress("")
}

func sharing(r Replica) store.Sharing {
	return store.Sharing{Store: r.Store, Leaser: r.Leaser, Log: slog.New(slog.DiscardHandler), Poll: 5 * time.Millisecond}
}

// testComputeOnce starts all replicas at the same time. The one that computes continues only when another has waited
// for it.
func testComputeOnce(t *testing.T, replicas []Replica) {
	key := Key(store.KindScores, "")
	var computed, waited atomic.Int32
	someoneWaits := make(chan struct{})
	var wait sync.WaitGroup
	for _, replica := range replicas {
		wait.Go(func() {
			s := sharing(replica)
			s.OnProgress = func([]byte) {
				if waited.Add(1) == 1 {
					close(someoneWaits)
				}
			}
			value, err := s.Value(t.Context(), key, func(ctx context.Context, lease store.Lease) ([]byte, error) {
				computed.Add(1)
				select {
				case <-someoneWaits:
				case <-time.After(20 * time.Second):
					t.Error("no replica waits for the one that computes")
				}
				return []byte("scores"), lease.SetProgress(ctx, []byte("1"))
			})
			if err != nil || string(value) != "scores" {
				t.Errorf("Value = %q, %v", value, err)
			}
		})
	}
	wait.Wait()
	if n := computed.Load(); n != 1 {
		t.Errorf("%d replicas computed, want 1", n)
	}
}

// testLeaderFails makes the first computation fail. The next replica must then compute.
func testLeaderFails(t *testing.T, replicas []Replica) {
	key := Key(store.KindScores, "")
	broken := errors.New("out of memory")
	_, err := sharing(replicas[0]).Value(t.Context(), key, func(context.Context, store.Lease) ([]byte, error) { return nil, broken })
	if !errors.Is(err, broken) {
		t.Fatalf("Value = %v, want the computation's error", err)
	}
	value, err := sharing(replicas[1]).Value(t.Context(), key, func(context.Context, store.Lease) ([]byte, error) { return []byte("x"), nil })
	if err != nil || string(value) != "x" {
		t.Fatalf("Value = %q, %v", value, err)
	}
}

func testCancelledWait(t *testing.T, replicas []Replica) {
	key := Key(store.KindScores, "")
	lease := Acquire(t, replicas[0].Leaser, key)
	defer lease.Close()
	ctx, cancel := context.WithCancel(t.Context())
	s := sharing(replicas[1])
	s.OnProgress = func([]byte) { cancel() }
	if _, err := s.Value(ctx, key, nil); !errors.Is(err, context.Canceled) {
		t.Fatalf("Value = %v, want context.Canceled", err)
	}
}
