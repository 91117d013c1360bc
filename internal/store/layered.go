package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"
)

// Local is the store on this machine. It is read first.
type Local interface {
	Store
	Leaser
}

// Remote is the store that replicas share.
type Remote interface {
	Store
	Leaser
	// Has reports whether there is an entry. It does not read or verify it.
	Has(ctx context.Context, key Key) (bool, error)
	// Ping reports whether the store responds.
	Ping(ctx context.Context) error
}

// Layered is a local store in front of a shared one. A read fills the local store. A write goes to both.
//
// The shared store is optional. If it fails, Layered logs one warning, stops using it and probes it with backoff. Once
// it responds, Layered publishes the values computed meanwhile. Layered returns only errors of the local store. The
// first operation that fails waits for one timeout; later ones do not wait.
//
// # Concurrency
//
// All methods may be called from several goroutines. Close waits for the background goroutine.
type Layered struct {
	local  Local
	remote Remote
	log    *slog.Logger
	health *health
}

// LayeredOptions are the parts of a Layered store.
type LayeredOptions struct {
	Local  Local
	Remote Remote
	Log    *slog.Logger
	// Retry is the pause before the first probe of a failed shared store. The pause doubles up to RetryMax. The
	// defaults are 1 s and 30 s.
	Retry, RetryMax time.Duration
}

// NewLayered starts a layered store. Close ends it. The two stores belong to the caller and stay open.
func NewLayered(o LayeredOptions) *Layered {
	if o.Retry <= 0 {
		o.Retry = time.Second
	}
	o.RetryMax = max(o.RetryMax, o.Retry)
	if o.RetryMax == o.Retry {
		o.RetryMax = max(o.Retry, 30*time.Second)
	}
	l := &Layered{local: o.Local, remote: o.Remote, log: o.Log}
	l.health = startHealth(l, o.Retry, o.RetryMax)
	return l
}

// Close ends the background work. It is idempotent.
func (l *Layered) Close() error {
	l.health.stop()
	return nil
}

// RemoteUp reports whether the shared store is in use.
func (l *Layered) RemoteUp() bool { return l.health.up() }

// Get reads from the local store and, if that does not have the value, from the shared one.
func (l *Layered) Get(ctx context.Context, key Key) ([]byte, error) {
	value, err := l.local.Get(ctx, key)
	switch {
	case err == nil:
		l.health.publish(key, false) // the shared store may not have the value, because of an outage or a loss
		return value, nil
	case key.Validate() != nil || ctx.Err() != nil:
		return nil, err
	case !errors.Is(err, ErrNotFound):
		l.log.Warn("local cache not readable, using the shared one", "key", key.String(), "error", err)
	}
	if !l.health.up() {
		return nil, notFound(key)
	}
	value, err = l.remote.Get(ctx, key)
	if err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		if !errors.Is(err, ErrNotFound) {
			l.health.failed(err)
		}
		return nil, notFound(key)
	}
	if err := l.local.Put(ctx, key, value); err != nil && ctx.Err() == nil {
		l.log.Warn("value not stored locally", "key", key.String(), "error", err)
	}
	l.health.published(key)
	return value, nil
}

func notFound(key Key) error { return fmt.Errorf("get %s: %w", key, ErrNotFound) }

// Put writes to both stores and returns the error of the local one.
func (l *Layered) Put(ctx context.Context, key Key, value []byte) error {
	return l.put(ctx, key, value, l.remote.Put)
}

// put writes to the local store and, if the shared store is up, calls remotePut. It returns errors of the local store.
// Of the shared store it returns only ErrStaleLease.
func (l *Layered) put(ctx context.Context, key Key, value []byte, remotePut func(context.Context, Key, []byte) error) error {
	if err := key.Validate(); err != nil {
		return err
	}
	localErr := l.local.Put(ctx, key, value)
	if err := ctx.Err(); err != nil {
		return err
	}
	if !l.health.writable() {
		l.health.publish(key, true)
		return localErr
	}
	switch err := remotePut(ctx, key, value); {
	case err == nil:
		l.health.published(key)
	case ctx.Err() != nil:
		return err
	case errors.Is(err, ErrStaleLease):
		return errors.Join(localErr, err)
	default:
		l.health.publish(key, true)
		if key.Kind.large() && !errors.Is(err, ErrUnavailable) {
			l.health.putOff(key)
		}
		l.health.putFailed(err)
	}
	return localErr
}

// Delete removes the entry from both stores.
func (l *Layered) Delete(ctx context.Context, key Key) error {
	if err := l.local.Delete(ctx, key); err != nil {
		return err
	}
	l.health.published(key) // there is nothing to publish any more
	if l.health.up() {
		if err := l.remote.Delete(ctx, key); err != nil && ctx.Err() == nil {
			l.health.putFailed(err)
		}
	}
	return ctx.Err()
}

// List merges the keys of both stores.
func (l *Layered) List(ctx context.Context, model string, kind Kind) ([]Key, error) {
	keys, err := l.local.List(ctx, model, kind)
	if err != nil {
		return nil, err
	}
	if l.health.up() {
		more, err := l.remote.List(ctx, model, kind)
		if err != nil && ctx.Err() == nil {
			l.health.failed(err)
		}
		keys = append(keys, more...)
	}
	slices.SortFunc(keys, func(a, b Key) int { return strings.Compare(a.String(), b.String()) })
	return slices.Compact(keys), ctx.Err()
}

// Acquire takes the lease on this machine first, then the shared one. While the shared store is down or full, the local
// lease is enough. Several machines may then compute the same value, which only costs time.
func (l *Layered) Acquire(ctx context.Context, key Key) (Lease, bool, error) {
	local, ok, err := l.local.Acquire(ctx, key)
	if err != nil || !ok {
		return nil, false, err
	}
	if !l.health.writable() {
		return &layeredLease{store: l, model: key.Model, local: local}, true, nil
	}
	remote, ok, err := l.remote.Acquire(ctx, key)
	switch {
	case err != nil && ctx.Err() == nil:
		l.health.leaseFailed(key, err)
		return &layeredLease{store: l, model: key.Model, local: local}, true, nil
	case err != nil || !ok:
		return nil, false, errors.Join(err, local.Close())
	}
	return &layeredLease{store: l, model: key.Model, local: local, remote: remote}, true, nil
}

// Progress returns the progress of the replica that holds the shared lease, or of a process on this machine.
func (l *Layered) Progress(ctx context.Context, key Key) ([]byte, error) {
	if l.health.up() {
		progress, err := l.remote.Progress(ctx, key)
		if err == nil && progress != nil {
			return progress, nil
		}
		if err != nil && ctx.Err() == nil {
			l.health.failed(err)
		}
	}
	return l.local.Progress(ctx, key)
}

// layeredLease is a lease on this machine and, unless the shared store was down, in the shared store.
type layeredLease struct {
	store  *Layered
	model  string
	local  Lease
	remote Lease // nil if the shared store was down
}

// Lost returns the channel of the shared lease. The local lease cannot be lost while the process lives.
func (l *layeredLease) Lost() <-chan struct{} {
	if l.remote == nil {
		return l.local.Lost()
	}
	return l.remote.Lost()
}

// SetProgress publishes to both stores. It ignores errors of the shared one.
func (l *layeredLease) SetProgress(ctx context.Context, progress []byte) error {
	err := l.local.SetProgress(ctx, progress)
	if l.remote != nil && l.store.health.writable() {
		if err := l.remote.SetProgress(ctx, progress); errors.Is(err, ErrUnavailable) && ctx.Err() == nil {
			l.store.health.failed(err)
		}
	}
	return err
}

// Put writes to both stores. It does not write to the shared one if another replica has taken over the lease.
func (l *layeredLease) Put(ctx context.Context, key Key, value []byte) error {
	if key.Model != l.model {
		return fmt.Errorf("put %s: the lease is only for model %s", key, l.model)
	}
	if l.remote == nil {
		return l.store.Put(ctx, key, value)
	}
	return l.store.put(ctx, key, value, l.remote.Put)
}

// Close releases both leases. If the shared lease cannot be released, it expires.
func (l *layeredLease) Close() error {
	if l.remote != nil {
		if err := l.remote.Close(); err != nil {
			l.store.log.Debug("shared lease not released, it will expire", "error", err)
		}
	}
	return l.local.Close()
}
