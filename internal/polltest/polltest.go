// Package polltest lets tests wait for a condition that another goroutine or process fulfils, if nothing signals it. A test that
// can wait on a channel, or run under testing/synctest, does that instead.
package polltest

import (
	"testing"
	"time"
)

// interval is the time between two probes. No result depends on its length.
const interval = 2 * time.Millisecond

// Within calls probe until it returns nil. After limit it fails the test with probe's last error. The limit only ends a test that
// hangs, so it should be generous.
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

// During is for a condition that must hold for a whole duration. The body of `for range polltest.During(length)` runs at once and
// then twenty more times, evenly spaced.
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
