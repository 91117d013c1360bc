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

// maxPending bounds the keys that wait to be published; later ones are published when they are next read or computed.
const maxPending = 1 << 10

// maxDefer bounds the pause after which a large value that the shared store refused is offered again. Each offer to a store that evicts costs
// it everything else that it has, and a store that is too small for the value will not grow soon.
const maxDefer = time.Hour

// health is what a Layered store knows of its shared store, and the goroutine that asks after it and publishes what it
// lacks. There are two states, each logged when it changes: down (nothing is tried) and full (only reading is tried:
// the store answers, but refuses to write).
type health struct {
	store           *Layered
	retry, retryMax time.Duration
	wake            chan struct{} // capacity 1: a wake-up that waits is enough
	cancel          context.CancelFunc
	done            chan struct{}

	mu       sync.Mutex // guards the rest
	down     bool
	full     bool
	pending  map[Key]*wish     // to be published
	known    map[Key]time.Time // when it was seen in the shared store, which is not asked for it again until retryMax later
	refused  map[Key]refusal   // large values that are pending and were refused
	unleased *Key              // the latest lease that was refused since writes were last taken
}

// wish is that the local value of a key gets into the shared store. A value that is put later has a wish of its own, so that whoever publishes an
// older one meanwhile does not take it for done.
type wish struct {
	replace bool // also when the shared store has an entry, which is older
}

// refusal is when a value that was refused is offered again.
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

// failed notes an error of reading: the store is not to be used until it answers again.
func (h *health) failed(err error) {
	h.mu.Lock()
	changed := !h.down
	h.down = true
	clear(h.known) // it may come back empty
	h.mu.Unlock()
	if changed {
		h.store.log.Warn("shared cache not usable, going on with the local one", "error", err)
	}
	h.signal()
}

// putFailed notes an error of writing. A store that answered and refused can still be read.
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
		h.store.log.Warn("shared cache refuses writes, values stay local until it takes them", "error", err)
	}
	h.signal()
}

// leaseFailed notes an error of taking a lease. One that was refused is what tells whether writes are taken again, since nothing may be pending.
func (h *health) leaseFailed(key Key, err error) {
	if !errors.Is(err, ErrUnavailable) {
		h.mu.Lock()
		h.unleased = &key
		h.mu.Unlock()
	}
	h.putFailed(err)
}

// publish asks for the local value of key to be in the shared store, sooner or later. With replace it is newer than what
// the shared store may have.
func (h *health) publish(key Key, replace bool) {
	h.mu.Lock()
	seen, known := h.known[key]
	known = known && time.Since(seen) < h.retryMax // the store may have lost it since, and nothing told
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

// published notes that the shared store has, or must no longer get, the key.
func (h *health) published(key Key) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.forget(key)
}

// granted notes that a wish was fulfilled, unless a newer one has come.
func (h *health) granted(key Key, done *wish) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.pending[key] == done {
		h.forget(key)
	}
}

// forget takes a key off what is to be published. The caller holds mu.
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

// run is the background goroutine: idle while all is well and published.
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

// putOff has a large value that was refused wait.
func (h *health) putOff(key Key) {
	h.mu.Lock()
	defer h.mu.Unlock()
	pause := min(max(2*h.refused[key].pause, h.retryMax), max(maxDefer, h.retryMax))
	h.refused[key] = refusal{pause: pause, until: time.Now().Add(pause)}
}

// untilNextOffer is the time until the first of the values that were refused is to be offered again.
func (h *health) untilNextOffer() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	wait := maxDefer
	for _, refusal := range h.refused {
		wait = min(wait, time.Until(refusal.until))
	}
	return max(wait, 0)
}

// revive asks the store whether it answers and whether it takes what is pending.
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
		h.store.log.Info("shared cache takes writes again")
	}
	return true
}

// publishAll copies pending values from the local store, the small ones first, and reports whether the shared one takes writes. Large values may
// be too large for a store that takes others.
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
			h.store.log.Warn("shared cache refuses a large value, it stays local and is offered again later", "key", key.String(), "error", err)
		}
	}
	return !waiting || h.takesLeases(ctx, pending)
}

// takesLeases tries a small write: the lease of a value that is pending, or one that was refused.
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
			_ = lease.Close() // or it expires
			return true
		}
	}
	return true
}

// due is all that is pending, with the value whose lease was refused, and of what is pending the keys whose time has come, the large ones last.
// waiting tells that publishing these does not show whether other writes are taken.
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

// publishOne returns only errors of the shared store: a value that is no longer held locally need not be published.
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
