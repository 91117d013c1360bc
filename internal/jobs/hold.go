package jobs

import (
	"os"
	"sync"
)

// hold stops a child wherever it is and lets it continue, as often as wanted. The zero value is ready and lets it work. It
// serves one child at a time, and its methods may be called from any goroutine.
type hold struct {
	mu      sync.Mutex
	stopped bool
	child   *os.Process // nil: none runs
}

// stop stops the child, or the one that starts next. Only on Linux: elsewhere a stopped child would outlive a parent that
// is killed, so there it continues.
func (h *hold) stop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stopped = true
	if h.child != nil {
		freeze(h.child)
	}
}

// resume lets the child continue.
func (h *hold) resume() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stopped = false
	if h.child != nil {
		thaw(h.child)
	}
}

// attach sets the child, which has just started; detach takes it back.
func (h *hold) attach(child *os.Process) (detach func()) {
	if h == nil {
		return func() {}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.child = child
	if h.stopped {
		freeze(child)
	}
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.child = nil
	}
}
