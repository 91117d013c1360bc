package redis

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"prunellm/internal/store"
)

// Lease implements store.Lease in Redis. A goroutine renews it until Close or until it is lost.
type Lease struct {
	store *Store
	key   store.Key
	owner string // random id of this holder
	token string // fencing token, decimal

	lost   chan struct{} // closed once
	stop   context.CancelFunc
	done   chan struct{} // closed when the goroutine that renews the lease has ended
	closed sync.Once
}

var _ store.Remote = (*Store)(nil)

// Acquire implements store.Leaser.
func (s *Store) Acquire(ctx context.Context, key store.Key) (store.Lease, bool, error) {
	lease, ok, err := s.acquire(ctx, key)
	if !ok || err != nil {
		return nil, false, err
	}
	return lease, true, nil
}

func (s *Store) acquire(ctx context.Context, key store.Key) (*Lease, bool, error) {
	asked := time.Now()
	lease, ok, err := s.take(ctx, key)
	if !ok || err != nil {
		return nil, false, err
	}
	renewing, stop := context.WithCancel(context.WithoutCancel(ctx))
	lease.stop = stop
	s.options.Hooks.Lease(true)
	go lease.renew(renewing, asked)
	return lease, true, nil
}

// take acquires the lease in Redis, but does not start to renew it.
func (s *Store) take(ctx context.Context, key store.Key) (*Lease, bool, error) {
	if err := errors.Join(key.Validate(), ctx.Err()); err != nil {
		return nil, false, err
	}
	limited, cancel := s.withTimeout(ctx, 0)
	defer cancel()
	owner := rand.Text()
	token, err := s.scripts.acquire.Run(limited, s.client, []string{leaseKey(key), fenceKey(key)}, owner, s.options.LeaseTTL.Milliseconds()).Text()
	if err != nil {
		return nil, false, s.wrap(limited, fmt.Sprintf("acquire lease of %s", key), err)
	}
	lease := &Lease{store: s, key: key, owner: owner, token: token, lost: make(chan struct{}), done: make(chan struct{})}
	return lease, token != "", nil
}

// Progress implements store.Leaser.
func (s *Store) Progress(ctx context.Context, key store.Key) ([]byte, error) {
	if err := errors.Join(key.Validate(), ctx.Err()); err != nil {
		return nil, err
	}
	ctx, cancel := s.withTimeout(ctx, 0)
	defer cancel()
	progress, err := s.client.GetRange(ctx, progressKey(key), 0, store.MaxProgressBytes).Bytes()
	if wrongType(err) {
		return nil, nil
	}
	if err != nil {
		return nil, s.wrap(ctx, fmt.Sprintf("read progress of %s", key), err)
	}
	if len(progress) > store.MaxProgressBytes || !json.Valid(progress) {
		return nil, nil
	}
	return progress, nil
}

// renew extends the lease four times per lifetime. The lease is lost if Redis says so, or if no renewal succeeds for a
// whole lifetime. This process counts the lifetime from before the last successful renewal, so it notices the loss
// before Redis gives the lease to another replica.
func (l *Lease) renew(ctx context.Context, last time.Time) {
	defer close(l.done)
	defer l.store.options.Hooks.Lease(false)
	ttl := l.store.options.LeaseTTL
	ticker := time.NewTicker(ttl / 4)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		asked := time.Now()
		held, err := l.prolong(ctx)
		if err == nil && held {
			last = asked
			continue
		}
		if ctx.Err() != nil {
			return
		}
		if err == nil || time.Since(last) >= ttl {
			l.store.options.Log.Warn("lease lost", "key", l.key.String(), "error", err)
			close(l.lost)
			return
		}
	}
}

func (l *Lease) prolong(ctx context.Context) (held bool, err error) {
	s := l.store
	ctx, cancel := s.withTimeout(ctx, 0)
	defer cancel()
	keys := []string{leaseKey(l.key), fenceKey(l.key)}
	n, err := s.scripts.renew.Run(ctx, s.client, keys, l.owner, s.options.LeaseTTL.Milliseconds(), l.token).Int()
	return n == 1, s.wrap(ctx, "renew lease", err)
}

// Lost implements store.Lease.
func (l *Lease) Lost() <-chan struct{} { return l.lost }

// Token returns the fencing token. It is larger than the tokens of all earlier holders.
func (l *Lease) Token() string { return l.token }

// SetProgress implements store.Lease. It returns ErrStaleLease if another replica has taken over the lease.
func (l *Lease) SetProgress(ctx context.Context, progress []byte) error {
	if len(progress) > store.MaxProgressBytes || !json.Valid(progress) {
		return fmt.Errorf("progress of %d bytes is not valid JSON of at most %d bytes", len(progress), store.MaxProgressBytes)
	}
	s := l.store
	ctx, cancel := s.withTimeout(ctx, 0)
	defer cancel()
	keys := []string{leaseKey(l.key), progressKey(l.key)}
	n, err := s.scripts.progress.Run(ctx, s.client, keys, l.owner, s.options.LeaseTTL.Milliseconds(), progress).Int()
	if err != nil {
		return s.wrap(ctx, "publish progress", err)
	}
	if n != 1 {
		return fmt.Errorf("publish progress: %w", store.ErrStaleLease)
	}
	return nil
}

// Put implements store.Lease. Redis checks the fencing token in the same atomic step that makes the value valid.
func (l *Lease) Put(ctx context.Context, key store.Key, value []byte) error {
	if key.Model != l.key.Model {
		return fmt.Errorf("put %s: the lease is only for model %s", key, l.key.Model)
	}
	return l.store.putFenced(ctx, key, value, l.key, l.token)
}

// Close implements store.Lease. If Redis is unreachable, the lease expires.
func (l *Lease) Close() (err error) {
	l.closed.Do(func() {
		l.stop()
		<-l.done
		s := l.store
		ctx, cancel := s.withTimeout(context.Background(), 0)
		defer cancel()
		releaseErr := s.scripts.release.Run(ctx, s.client, []string{leaseKey(l.key), progressKey(l.key)}, l.owner).Err()
		err = s.wrap(ctx, "release lease", releaseErr)
	})
	return err
}
