package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"
)

// Leaser elects the replica that computes a key. Requests never wait for a lease; only builds of variants do.
type Leaser interface {
	// Acquire tries once, without waiting. ok is false while another replica holds the lease. After an error the holder
	// is unknown; the caller then computes without a lease, which can only duplicate work.
	Acquire(ctx context.Context, key Key) (lease Lease, ok bool, err error)
	// Progress returns the JSON that the holder last published, at most MaxProgressBytes, or nil. It is input from another
	// process: do not trust it.
	Progress(ctx context.Context, key Key) ([]byte, error)
}

// Lease is held by the replica that computes.
type Lease interface {
	// Lost is closed once another replica may have taken over. Work may continue, but Put may return ErrStaleLease.
	Lost() <-chan struct{}
	// SetProgress publishes at most MaxProgressBytes of JSON for the replicas that wait.
	SetProgress(ctx context.Context, progress []byte) error
	// Put stores a value of the lease's model. If the lease was taken over, it returns ErrStaleLease instead.
	Put(ctx context.Context, key Key, value []byte) error
	// Close releases the lease. It is idempotent.
	Close() error
}

// Sharing computes values at most once among all replicas that share a store.
type Sharing struct {
	Store  Store
	Leaser Leaser
	Log    *slog.Logger
	// Poll is the interval at which the store is checked while another replica computes; 0 means half a second.
	Poll time.Duration
	// OnProgress, if set, is called while another replica computes, with the published progress (nil if there is none).
	OnProgress func(progress []byte)
}

// Value returns the stored value of key. If there is none, it calls compute or waits for the replica that computes it.
// compute may put further values of the same model and publish progress through its lease. If a result cannot be
// stored, Value logs that and returns the result.
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

// acquire replaces a failing Leaser by a lease that protects nothing.
func (s Sharing) acquire(ctx context.Context, key Key) (Lease, bool) {
	lease, ok, err := s.Leaser.Acquire(ctx, key)
	if err != nil {
		s.Log.Warn("lease not available, computing without it", "key", key.String(), "error", err)
		return NoLease{Store: s.Store}, true
	}
	return lease, ok
}

// lead computes under the lease, after reading again: the value may have been stored since the first read.
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

// wait waits for a randomized poll interval, so that many replicas do not poll at once.
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

// NoLease is a Lease that protects nothing: it writes directly to its store. It replaces an unavailable lease.
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
