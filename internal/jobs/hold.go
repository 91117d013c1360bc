package jobs

import (
	"os"
	"sync"
)

// hold stops a child wherever it is and lets it continue, as often as wanted. It also lowers the child's priority and
// raises it again where the system permits. The zero value is ready and lets the child work at its own priority. It serves
// one child at a time, and its methods may be called from any goroutine.
type hold struct {
	mu      sync.Mutex
	stopped bool
	lowered bool
	child   *os.Process // nil: none runs
}

// stop stops the child, or the one that starts next. It has an effect only on Linux: elsewhere a stopped child would
// outlive a killed parent.
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

// lower gives the child, or the one that starts next, the lowest priority.
func (h *hold) lower() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lowered = true
	if h.child != nil {
		lower(h.child.Pid)
	}
}

// raise gives the child this process's priority again, and reports whether it has it. Most systems forbid that to a
// process without privileges: the child then keeps the lowest.
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
	if h.lowered {
		lower(child.Pid)
	}
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.child = nil
		thaw(child) // it has nothing left to do but to end
	}
}
