package jobs

import (
	"os"
	"sync"
)

// hold stops and resumes a child, any number of times. It also lowers the child's priority and raises it again if the
// system permits that. The zero value is ready to use and lets the child work at its own priority. A hold is for one
// child at a time. Its methods may be called from several goroutines.
type hold struct {
	mu      sync.Mutex
	stopped bool
	lowered bool
	child   *os.Process // nil if none runs
}

// stop stops the child, or the next one that starts. It has an effect only on Linux, because on other systems a stopped
// child would outlive a killed parent.
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

// lower gives the child, or the next one that starts, the lowest priority.
func (h *hold) lower() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lowered = true
	if h.child != nil {
		lower(h.child.Pid)
	}
}

// raise gives the child this process's priority again and reports whether that succeeded. Most systems forbid it to a
// process without privileges; the child then keeps the lowest priority.
func (h *hold) raise() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.lowered {
		return true
	}
	if h.child == nil || raise(h.child.Pid) {
		h.lowered = false
	}
	return !h.lowered
}

// attach sets the child, which must have just started. detach unsets it.
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
	if h.lowered {
		lower(child.Pid)
	}
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.child = nil
		thaw(child) // so that a stopped child can end
	}
}
