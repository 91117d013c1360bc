package jobs

import (
	"encoding/binary"
	"errors"
	"log/slog"
	"os"
	"sync"
	"time"
)

const (
	// idleBeforeResume is how long no request runs before a stopped job continues.
	idleBeforeResume = time.Second
	// firstPatience is how long requests may stop a job in all, and a quarter of the time that it has worked comes on top:
	// under requests without end it takes at most a quarter longer, and what it loses at the lowest priority.
	firstPatience = 10 * time.Second
	patienceShare = 4
	// slice is how long a job without patience works, and then stands, where a CPU quota makes priorities useless.
	slice = 500 * time.Millisecond
)

// Pauser has jobs give way to requests, and to nothing else. A job has this process's priority. While requests run its
// process stops wherever it is, and it continues after a second without one. A job that somebody waits for loses its
// patience with requests that do not end: it continues beside them at the lowest priority, which it leaves when they have
// ended, where the system permits that.
//
// The pauser writes the time for which a job was stopped to a file, for the job's clock (see Call.Now). Its methods may be
// called from any goroutine.
type Pauser struct {
	quota bool
	log   *slog.Logger

	mu    sync.Mutex
	busy  bool
	jobs  map[*pausable]struct{} // that run
	timer *time.Timer            // of the second without a request; nil: none
}

// pausable is a job of a pauser.
type pausable struct {
	hold      hold
	path      string // of the file for its clock
	unhurried bool   // its patience has no end
	began     time.Time
	stopped   time.Time // when the stop began; zero: the job works
	held      time.Duration
	timer     *time.Timer // ends its patience; nil: it works, or is unhurried
	told      bool        // that its priority stays low
}

// NewPauser returns a pauser that lets jobs work. quota reports that this process has a CPU quota. Threads at the lowest
// priority use it up like others, on cores that are free, and the system then stops those that answer requests as well:
// a job without patience works half of the time there.
func NewPauser(quota bool, log *slog.Logger) *Pauser {
	return &Pauser{quota: quota, log: log, jobs: map[*pausable]struct{}{}}
}

// Requests reports to the pauser whether any request is running. It returns at once.
func (p *Pauser) Requests(running bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.busy = running
	if p.timer != nil {
		p.timer.Stop()
		p.timer = nil
	}
	if !running {
		p.timer = time.AfterFunc(idleBeforeResume, p.resume)
		return
	}
	for job := range p.jobs {
		p.stop(job)
	}
}

// use adds a job that begins, with the file for its clock; release ends it. An unhurried job stands for as long as
// requests run.
func (p *Pauser) use(path string, unhurried bool) (_ *hold, release func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	job := &pausable{path: path, unhurried: unhurried, began: time.Now()}
	p.jobs[job] = struct{}{}
	if p.busy {
		p.stop(job)
	}
	return &job.hold, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.jobs, job)
		job.setTimer(0, nil)
		job.hold.resume()
	}
}

// stop stops a job unless it is stopped. The caller holds mu.
func (p *Pauser) stop(job *pausable) {
	if !job.stopped.IsZero() {
		return
	}
	job.hold.stop()
	job.stopped = time.Now()
	if job.unhurried {
		return
	}
	left := max(job.patience(), 0)
	if p.quota {
		left = max(left, slice)
	}
	job.setTimer(left, func() { p.losePatience(job) })
}

// patience is how much longer a job stands for requests.
func (j *pausable) patience() time.Duration {
	worked := time.Since(j.began) - j.held
	return firstPatience + worked/patienceShare - j.held
}

// losePatience lets a job work beside requests.
func (p *Pauser) losePatience(job *pausable) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, runs := p.jobs[job]; !runs || job.stopped.IsZero() {
		return
	}
	job.hold.lower()
	p.goOn(job)
	if p.quota {
		job.setTimer(slice, func() { p.stopAgain(job) })
	}
}

// stopAgain ends the time for which a job works beside requests.
func (p *Pauser) stopAgain(job *pausable) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, runs := p.jobs[job]; runs && p.busy {
		p.stop(job)
	}
}

// resume lets all jobs work as if no request had ever run.
func (p *Pauser) resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.busy {
		return
	}
	for job := range p.jobs {
		if !job.hold.raise() && !job.told {
			job.told = true
			p.log.Info("job keeps the lowest priority: raising it again needs CAP_SYS_NICE or a higher RLIMIT_NICE")
		}
		p.goOn(job)
	}
}

// goOn lets a job continue. The job reads the file only while it works. The caller holds mu.
func (p *Pauser) goOn(job *pausable) {
	job.setTimer(0, nil)
	if job.stopped.IsZero() {
		return
	}
	job.held += time.Since(job.stopped)
	job.stopped = time.Time{}
	if err := noteHeld(job.path, job.held); err != nil {
		p.log.Warn("time for which a job was stopped counts as working time", "error", err)
	}
	job.hold.resume()
}

// setTimer sets the job's one timer; nil stops it.
func (j *pausable) setTimer(after time.Duration, then func()) {
	if j.timer != nil {
		j.timer.Stop()
		j.timer = nil
	}
	if then != nil {
		j.timer = time.AfterFunc(after, then)
	}
}

// noteHeld overwrites in place, so that a full disk keeps the last value.
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
			before = after // stopped between the lines above
		}
	}
}
