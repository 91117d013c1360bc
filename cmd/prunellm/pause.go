package main

import (
	"encoding/binary"
	"errors"
	"log/slog"
	"os"
	"sync"
	"time"

	"prunellm/internal/jobs"
)

// idleBeforeTraining is how long no request has to run before a training goes on.
const idleBeforeTraining = time.Second

// pauser holds a training up while requests need the cores: its process is stopped where it is. A training's file tells how
// long it was held up in all, for its clock (see workingClock).
type pauser struct {
	mu      sync.Mutex
	hold    jobs.Hold
	path    string // the file of the training that runs; "" when none does
	busy    bool
	stopped time.Time // when the hold began; zero: the training works
	held    time.Duration
	timer   *time.Timer
	log     *slog.Logger
}

// requests tells whether any request is running. It returns at once.
func (p *pauser) requests(running bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.busy = running
	if p.timer != nil {
		p.timer.Stop()
		p.timer = nil
	}
	switch {
	case p.path == "":
	case running:
		p.stop()
	default:
		p.timer = time.AfterFunc(idleBeforeTraining, p.goOn)
	}
}

// use names the file for the training that begins; the function that is returned ends that.
func (p *pauser) use(path string) (release func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.path, p.held = path, 0
	if p.busy {
		p.stop()
	}
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.path, p.stopped = "", time.Time{}
		p.hold.Continue()
	}
}

// stop holds the training up unless it is. The caller holds mu.
func (p *pauser) stop() {
	if p.stopped.IsZero() {
		p.hold.Stop()
		p.stopped = time.Now()
	}
}

// goOn lets the training go on, which reads the file only while it works.
func (p *pauser) goOn() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.busy || p.path == "" || p.stopped.IsZero() {
		return
	}
	p.held += time.Since(p.stopped)
	p.stopped = time.Time{}
	if err := noteHeld(p.path, p.held); err != nil {
		p.log.Warn("time in which a training was held up counts as training", "error", err)
	}
	p.hold.Continue()
}

// noteHeld writes in place, so that a disk without room keeps the value before.
func noteHeld(path string, held time.Duration) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(binary.LittleEndian.AppendUint64(nil, uint64(held)))
	return errors.Join(err, file.Close())
}

// workingClock is a clock for a training that stands still while a pauser holds it up. path is the pauser's file.
func workingClock(path string) func() time.Time {
	held := func() time.Duration {
		value, err := os.ReadFile(path)
		if err != nil || len(value) != 8 {
			return 0 // not held up so far
		}
		return time.Duration(binary.LittleEndian.Uint64(value))
	}
	return func() time.Time {
		for before := held(); ; {
			now := time.Now()
			after := held()
			if after == before {
				return now.Add(-after)
			}
			before = after // stopped between two lines of this function
		}
	}
}
