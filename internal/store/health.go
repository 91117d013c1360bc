package store

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"
)

// maxPending bounds the number of keys that wait to be published. Beyond it, a key is published the next time it is
// read or computed.
const maxPending = 1 << 10

// maxDefer bounds the backoff of a large value that the shared store refused. Retrying often would be harmful, because
// each attempt makes a store with eviction drop everything else. It would also be useless, because a store that is too
// small rarely grows soon.
const maxDefer = time.Hour

// health tracks the state of a Layered store's shared store. It has a goroutine that probes the shared store and
// publishes values that it does not have. health logs each change between three states. Up: the shared store works.
// Down: it is not used. Full: it is only read, because it responds but refuses writes.
type health struct {
	store           *Layered
	retry, retryMax time.Duration
	wake            chan struct{} // capacity 1, because one pending wake-up is enough
	cancel          context.CancelFunc
	done            chan struct{}

	mu       sync.Mutex // guards the following fields
	down     bool
	full     bool
	pending  map[Key]*wish     // keys to publish
	known    map[Key]time.Time // when the shared store was last seen to have the key; not checked again for retryMax
	refused  map[Key]refusal   // large pending values that the shared store refused
	unleased *Key              // key of the last refused lease; nil once writes succeed again
}

// wish is a request to publish the local value of a key. A later Put replaces the wish, so that publishing the older
// value does not fulfill the new wish.
type wish struct {
	replace bool // publish even if the shared store has an entry, which is older
}

// refusal is the backoff state of a refused value.
type refusal struct {
	pause time.Duration
	until time.Time
}

func startHealth(store *Layered, retry, retryMax time.Duration) *health {
	ctx, cancel := context.WithCancel(context.Background())
	h := &health{
		store: store, retry: retry, retryMax: retryMax, cancel: cancel,
		wake: make(chan struct{}, 1), done: make(chan struct{}),
		pending: map[Key]*wish{}, known: map[Key]time.Time{}, refused: map[Key]refusal{},
	}
	go h.run(ctx)
	return h
}

func (h *health) stop() {
	h.cancel()
	<-h.done
}

func (h *health) up() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return !h.down
}

func (h *health) writable() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return !h.down && !h.full
}

// failed records a read error. The shared store is not used until it responds again.
func (h *health) failed(err error) {
	h.mu.Lock()
	changed := !h.down
	h.down = true
	clear(h.known) // the store may be empty when it returns
	h.mu.Unlock()
	if changed {
		h.store.log.Warn("shared cache not usable, using only the local one", "error", err)
	}
	h.signal()
}

// putFailed records a write error. A store that refuses a write can still be read.
func (h *health) putFailed(err error) {
	if errors.Is(err, ErrUnavailable) {
		h.failed(err)
		return
	}
	h.mu.Lock()
	changed := !h.full
	h.full = true
	h.mu.Unlock()
	if changed {
		h.store.log.Warn("shared cache refuses writes, values stay local until it accepts them", "error", err)
	}
	h.signal()
}

// leaseFailed records an error of Acquire. If no value is pending, retrying the lease shows whether writes succeed
// again.
func (h *health) leaseFailed(key Key, err error) {
	if !errors.Is(err, ErrUnavailable) {
		h.mu.Lock()
		h.unleased = &key
		h.mu.Unlock()
	}
	h.putFailed(err)
}

// publish schedules the local value of key for publication. replace says that the value is newer than any entry in the
// shared store.
func (h *health) publish(key Key, replace bool) {
	h.mu.Lock()
	seen, known := h.known[key]
	known = known && time.Since(seen) < h.retryMax // after that the store may have lost it
	_, waits := h.pending[key]
	add := (replace || !known) && (waits || len(h.pending) < maxPending)
	if add {
		if replace || !waits {
			h.pending[key] = &wish{replace}
		}
		delete(h.known, key)
	}
	h.mu.Unlock()
	if add {
		h.signal()
	}
}

// published records that the shared store has the key, or must no longer receive it.
func (h *health) published(key Key) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.forget(key)
}

// granted records that a wish was fulfilled, unless a newer wish has replaced it.
func (h *health) granted(key Key, done *wish) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.pending[key] == done {
		h.forget(key)
	}
}

// forget removes a key from pending. The caller must hold mu.
func (h *health) forget(key Key) {
	delete(h.pending, key)
	delete(h.refused, key)
	if len(h.known) >= maxPending {
		clear(h.known)
	}
	h.known[key] = time.Now()
}

func (h *health) signal() {
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// run is the body of the background goroutine. It is idle while the store works and nothing is pending.
func (h *health) run(ctx context.Context) {
	defer close(h.done)
	pause := h.retry
	for {
		later := time.NewTimer(h.untilNextOffer())
		select {
		case <-ctx.Done():
			later.Stop()
			return
		case <-h.wake:
		case <-later.C:
		}
		later.Stop()
		for h.troubled() && ctx.Err() == nil {
			select {
			case <-ctx.Done():
				return
			case <-time.After(pause):
			}
			if h.revive(ctx) {
				pause = h.retry
				continue
			}
			pause = min(2*pause, h.retryMax)
		}
		h.publishAll(ctx)
	}
}

func (h *health) troubled() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.down || h.full
}

// putOff starts or doubles the backoff of a refused large value.
func (h *health) putOff(key Key) {
	h.mu.Lock()
	defer h.mu.Unlock()
	pause := min(max(2*h.refused[key].pause, h.retryMax), max(maxDefer, h.retryMax))
	h.refused[key] = refusal{pause: pause, until: time.Now().Add(pause)}
}

// untilNextOffer returns the time until the first refused value is due.
func (h *health) untilNextOffer() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	wait := maxDefer
	for _, refusal := range h.refused {
		wait = min(wait, time.Until(refusal.until))
	}
	return max(wait, 0)
}

// revive probes the shared store. It reports whether the store responds and accepts the pending values.
func (h *health) revive(ctx context.Context) bool {
	if h.store.remote.Ping(ctx) != nil {
		return false
	}
	h.mu.Lock()
	wasDown := h.down
	h.down = false
	h.mu.Unlock()
	if wasDown {
		h.store.log.Info("shared cache is back")
	}
	if !h.publishAll(ctx) {
		return false
	}
	h.mu.Lock()
	wasFull := h.full
	h.full = false
	h.unleased = nil
	h.mu.Unlock()
	if wasFull {
		h.store.log.Info("shared cache accepts writes again")
	}
	return true
}

// publishAll copies pending values from the local store to the shared one, small values first. It reports whether the
// shared store accepts writes. A store that refuses a large value may still accept others.
func (h *health) publishAll(ctx context.Context) bool {
	keys, pending, waiting := h.due()
	for _, key := range keys {
		if ctx.Err() != nil {
			return false
		}
		switch err := h.publishOne(ctx, key, pending[key].replace); {
		case err == nil:
			h.granted(key, pending[key])
		case ctx.Err() != nil:
			return false
		case !key.Kind.large() || errors.Is(err, ErrUnavailable):
			h.putFailed(err)
			return false
		default:
			waiting = true
			h.putOff(key)
			h.store.log.Warn("shared cache refuses a large value, retrying later", "key", key.String(), "error", err)
		}
	}
	return !waiting || h.takesLeases(ctx, pending)
}

// takesLeases tries a small write, which is the lease of a pending value or the refused lease. It reports whether the
// write succeeds.
func (h *health) takesLeases(ctx context.Context, pending map[Key]*wish) bool {
	for key := range pending {
		lease, ok, err := h.store.remote.Acquire(ctx, key)
		if err != nil {
			if ctx.Err() == nil {
				h.putFailed(err)
			}
			return false
		}
		if ok {
			_ = lease.Close() // if this fails, the lease expires
			return true
		}
	}
	return true
}

// due returns the pending keys that are due, large ones last, and all pending wishes, including one for the key whose
// lease was refused. waiting says that publishing these keys does not show whether other writes succeed.
func (h *health) due() (keys []Key, pending map[Key]*wish, waiting bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for key := range h.pending {
		if refusal, ok := h.refused[key]; !ok || !time.Now().Before(refusal.until) {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, func(a, b Key) int {
		if a.Kind.large() != b.Kind.large() {
			if a.Kind.large() {
				return 1
			}
			return -1
		}
		return cmp.Compare(a.String(), b.String())
	})
	pending = maps.Clone(h.pending)
	if h.unleased != nil {
		pending[*h.unleased] = h.pending[*h.unleased]
	}
	return keys, pending, h.unleased != nil || len(keys) < len(pending)
}

// publishOne publishes one value. It returns only errors of the shared store. It ignores a value that the local store
// has lost.
func (h *health) publishOne(ctx context.Context, key Key, replace bool) error {
	if !replace {
		if has, err := h.store.remote.Has(ctx, key); err != nil || has {
			return err
		}
	}
	value, err := h.store.local.Get(ctx, key)
	if err != nil {
		return ctx.Err()
	}
	return h.store.remote.Put(ctx, key, value)
}
