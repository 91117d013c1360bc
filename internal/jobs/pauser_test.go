package jobs

import (
	"errors"
	"log/slog"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"prunellm/internal/polltest"
)

// A job is stopped while requests run, also when they ran before it began, and continues after they have ended. Its clock
// stands still meanwhile.
func TestPauser(t *testing.T) { synctest.Test(t, testPauser) }

func testPauser(t *testing.T) {
	path := filepath.Join(t.TempDir(), "held")
	clock := workingClock(path)
	p := NewPauser(slog.New(slog.DiscardHandler))
	held := func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return !p.stopped.IsZero()
	}
	p.Requests(true) // no training yet
	release := p.use(path)
	if !held() {
		t.Fatal("a training that begins while a request runs does not wait")
	}
	began, worked := time.Now(), clock()
	p.Requests(false)
	if !held() {
		t.Error("training goes on at once after a request")
	}
	polltest.Within(t, time.Minute, func() error {
		if held() {
			return errors.New("the training is held without a request")
		}
		return nil
	})
	if waited := time.Since(began); waited < idleBeforeResume {
		t.Errorf("training goes on after %s without a request, want %s", waited, idleBeforeResume)
	}
	p.Requests(true)
	p.Requests(true)
	if !held() {
		t.Error("a request does not hold the training up")
	}
	p.Requests(false)
	polltest.Within(t, time.Minute, func() error {
		if held() {
			return errors.New("the training is held without a request")
		}
		return nil
	})
	// Both clocks are read while the training works, so what differs is the time in which it was held.
	if stood := time.Since(began) - clock().Sub(worked); stood < 2*idleBeforeResume {
		t.Errorf("the clock stood still for %s, want %s or more", stood, 2*idleBeforeResume)
	}
	release()
	p.Requests(false)
}
