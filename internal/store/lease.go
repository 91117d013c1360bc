package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"
)

// Leaser elects the replica that computes the value of a key. Requests never wait for a lease; only builds of variants
// do.
type Leaser interface {
	// Acquire tries once to take the lease and does not wait. ok is false if another replica holds it. After an error
	// the holder is unknown. The caller then computes without a lease, which at worst duplicates work.
	Acquire(ctx context.Context, key Key) (lease Lease, ok bool, err error)
	// Progress returns the JSON that the holder last published, at most MaxProgressBytes, or nil. It comes from another
	// process, so do not trust it.
	Progress(ctx context.Context, key Key) ([]byte, error)
}

// Lease is the right to compute a value. One replica holds it at a time.
type Lease interface {
	// Lost is closed once another replica may have taken over the lease. Work may continue, but Put may return
	// ErrStaleLease.
	Lost() <-chan struct{}
	// SetProgress publishes at most MaxProgressBytes of JSON to waiting replicas.
	SetProgress(ctx context.Context, progress []byte) error
	// Put stores a value of the lease's model. If another replica has taken over the lease, it returns ErrStaleLease
	// and stores nothing.
	Put(ctx context.Context, key Key, value []byte) error
	// Close releases the lease. It is idempotent.
	Close() error
}

// Sharing computes a value at most once among all replicas that share a store.
type Sharing struct {
	Store  Store
	Leaser Leaser
	Log    *slog.Logger
	// Poll is the interval at which Value checks the store while another replica computes. 0 means half a second.
	Poll time.Duration
	// OnProgress, if set, is called while another replica computes. progress is what the replica last published, or
	// nil.
	OnProgress func(progress []byte)
}

// Value returns the stored value of key. If there is none, it calls compute, or waits for the replica that computes the
// value. Through its lease, compute may store further values of the same model and publish progress. If the result
// cannot be stored, Value logs a warning and returns the result.
func (s Sharing) Value(ctx context.Context, key Key, compute func(context.Context, Lease) ([]byte, error)) ([]byte, error) {
	if err := key.Validate(); err != nil {
		return nil, err
	}
	for {
		value, err := s.Store.Get(ctx, key)
		if err == nil || !errors.Is(err, ErrNotFound) && ctx.Err() != nil {
			return value, err
		}
		lease, ok := s.acquire(ctx, key)
		if err := ctx.Err(); err != nil {
			if ok {
				err = errors.Join(err, lease.Close())
			}
			return nil, err
		}
		if ok {
			return s.lead(ctx, key, lease, compute)
		}
		if err := s.wait(ctx, key); err != nil {
			return nil, err
		}
	}
}

// acquire acquires the lease. If the Leaser fails, it returns a NoLease instead.
func (s Sharing) acquire(ctx context.Context, key Key) (Lease, bool) {
	lease, ok, err := s.Leaser.Acquire(ctx, key)
	if err != nil {
		s.Log.Warn("lease not available, computing without it", "key", key.String(), "error", err)
		return NoLease{Store: s.Store}, true
	}
	return lease, ok
}

// lead computes the value under the lease. It first reads again, because another replica may have stored the value
// since the first read.
func (s Sharing) lead(ctx context.Context, key Key, lease Lease, compute func(context.Context, Lease) ([]byte, error)) ([]byte, error) {
	defer func() {
		if err := lease.Close(); err != nil {
			s.Log.Warn("lease not released, it will expire", "key", key.String(), "error", err)
		}
	}()
	if value, err := s.Store.Get(ctx, key); err == nil {
		return value, nil
	}
	value, err := compute(ctx, lease)
	if err != nil {
		return nil, fmt.Errorf("compute %s: %w", key.Kind, err)
	}
	if err := lease.Put(ctx, key, value); err != nil {
		s.Log.Warn("computed value not stored", "key", key.String(), "error", err)
	}
	return value, nil
}

// wait waits for a randomized poll interval, so that many replicas do not poll at the same time.
func (s Sharing) wait(ctx context.Context, key Key) error {
	if s.OnProgress != nil {
		progress, err := s.Leaser.Progress(ctx, key)
		if err != nil {
			progress = nil
		}
		s.OnProgress(progress)
	}
	poll := s.Poll
	if poll <= 0 {
		poll = 500 * time.Millisecond
	}
	timer := time.NewTimer(poll/2 + rand.N(poll))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// NoLease is a Lease without protection, for use if no lease is available. It writes directly to its store.
type NoLease struct{ Store Store }

// Lost is never closed.
func (NoLease) Lost() <-chan struct{} { return nil }

// SetProgress does nothing.
func (NoLease) SetProgress(context.Context, []byte) error { return nil }

// Put stores the value.
func (n NoLease) Put(ctx context.Context, key Key, value []byte) error {
	return n.Store.Put(ctx, key, value)
}

// Close does nothing.
func (NoLease) Close() error { return nil }
