// Package polltest waits in tests for what another goroutine or process brings about. It is for events that nothing signals; a test
// that can wait on a channel or run under testing/synctest does that instead.
package polltest

import (
	"testing"
	"time"
)

// interval lies between two probes. No result depends on its length.
const interval = 2 * time.Millisecond

// Within calls probe until it returns nil, and fails the test with the last error once limit is over. The limit only ends a test that
// hangs, so it is generous.
func Within(t testing.TB, limit time.Duration, probe func() error) {
	t.Helper()
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		err := probe()
		if err == nil {
			return
		}
		select {
		case <-ticker.C:
		case <-deadline.C:
			t.Fatalf("still after %v: %v", limit, err)
		}
	}
}

// During is for what must hold throughout length: `for range polltest.During(length)` looks at once and then twenty times more, evenly
// spaced.
func During(length time.Duration) func(yield func() bool) {
	return func(yield func() bool) {
		ticker := time.NewTicker(length / 20)
		defer ticker.Stop()
		for range 20 {
			if !yield() {
				return
			}
			<-ticker.C
		}
		yield()
	}
}
