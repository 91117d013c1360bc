package jobs

import (
	"os"
	"sync"
)

// Hold stops a child in the middle of what it does and lets it go on, as often as wanted. The zero value is ready and lets
// it work. It serves one child at a time, and its methods may be called from any goroutine.
type Hold struct {
	mu      sync.Mutex
	stopped bool
	child   *os.Process // nil: none runs
}

// Stop stops the child, or the one that starts next, wherever it is. Only on Linux: elsewhere a child that is stopped would
// outlive a parent that is killed, so there it goes on.
func (h *Hold) Stop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stopped = true
	if h.child != nil {
		freeze(h.child)
	}
}

// Continue lets the child go on.
func (h *Hold) Continue() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stopped = false
	if h.child != nil {
		thaw(h.child)
	}
}

// attach names the child that was just started; the function that is returned takes that back.
func (h *Hold) attach(child *os.Process) (detach func()) {
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
