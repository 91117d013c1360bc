package catalog

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestFailures(t *testing.T) {
	f := newFailures(0.2)
	f.failed(0.3, errors.New("no gradients"))
	if f.reasons[0.3] != "no gradients" || f.status != "" {
		t.Errorf("after another ratio failed: %q, status %q", f.reasons[0.3], f.status)
	}
	f.failed(0.2, errors.New("no memory"))
	if f.status != "the last attempt failed (no memory)" {
		t.Errorf("after the startup ratio failed: status %q", f.status)
	}
	f.retrying(errors.New("no memory"), 5*time.Second)
	if f.status != "the last attempt failed (no memory); the next one begins within 5s" {
		t.Errorf("while retrying: status %q", f.status)
	}
	if f.succeeded(0.3); f.reasons[0.3] != "" || f.status == "" {
		t.Errorf("after another ratio succeeded: %q, status %q", f.reasons[0.3], f.status)
	}
	if f.succeeded(0.2); len(f.reasons) != 0 || f.status != "" {
		t.Errorf("after the startup ratio succeeded: %v, status %q", f.reasons, f.status)
	}
	f.failed(0.2, errors.New("again"))
	if f.forget(0.2); len(f.reasons) != 0 || !strings.Contains(f.status, "again") {
		t.Errorf("after forget: %v, status %q, want only the status", f.reasons, f.status)
	}
}

// No matter how many ratios fail, the startup ratio's failure and the last one are remembered.
func TestFailuresAreBounded(t *testing.T) {
	f := newFailures(0.2)
	f.failed(0.2, errors.New("own"))
	last := 0.0
	for i := range 3 * maxFailures {
		last = 0.3 + float64(i)/1000
		f.failed(last, errors.New("other"))
		if len(f.reasons) > maxFailures {
			t.Fatalf("%d failures are remembered, want at most %d", len(f.reasons), maxFailures)
		}
	}
	if f.reasons[0.2] != "own" || f.reasons[last] != "other" {
		t.Errorf("reasons = %v, want those of 0.2 and %v among them", f.reasons, last)
	}
}
