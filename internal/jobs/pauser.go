package jobs

import (
	"encoding/binary"
	"errors"
	"log/slog"
	"os"
	"sync"
	"time"
)

// idleBeforeResume is how long no request runs before a stopped job continues.
const idleBeforeResume = time.Second

// Pauser stops a job while requests need the cores: its process stops wherever it is. It writes the time for which the job
// was stopped to a file, for the job's clock (see Call.Now). Its methods may be called from any goroutine.
type Pauser struct {
	mu      sync.Mutex
	hold    hold
	path    string // the file of the job that runs; "" when none does
	busy    bool
	stopped time.Time // when the stop began; zero: the job works
	held    time.Duration
	timer   *time.Timer
	log     *slog.Logger
}

// NewPauser returns a pauser that lets jobs work.
func NewPauser(log *slog.Logger) *Pauser { return &Pauser{log: log} }

// Requests reports to the pauser whether any request is running. It returns at once.
func (p *Pauser) Requests(running bool) {
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
		p.timer = time.AfterFunc(idleBeforeResume, p.resume)
	}
}

// use sets the file for the job that begins; release ends its use.
func (p *Pauser) use(path string) (release func()) {
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
		p.hold.resume()
	}
}

// stop stops the job unless it is stopped. The caller holds mu.
func (p *Pauser) stop() {
	if p.stopped.IsZero() {
		p.hold.stop()
		p.stopped = time.Now()
	}
}

// resume lets the job continue. The job reads the file only while it works.
func (p *Pauser) resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.busy || p.path == "" || p.stopped.IsZero() {
		return
	}
	p.held += time.Since(p.stopped)
	p.stopped = time.Time{}
	if err := noteHeld(p.path, p.held); err != nil {
		p.log.Warn("time for which a job was stopped counts as working time", "error", err)
	}
	p.hold.resume()
}

// noteHeld writes in place, so that a full disk keeps the last value.
func noteHeld(path string, held time.Duration) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(binary.LittleEndian.AppendUint64(nil, uint64(held)))
	return errors.Join(err, file.Close())
}

// workingClock returns a clock that stands still while a pauser stops the job. path is the pauser's file.
func workingClock(path string) func() time.Time {
	held := func() time.Duration {
		value, err := os.ReadFile(path)
		if err != nil || len(value) != 8 {
			return 0 // not stopped so far
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
