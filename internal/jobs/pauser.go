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
	// idleBeforeResume is how long no request must run before a stopped job continues.
	idleBeforeResume = time.Second
	// firstPatience is the total time for which requests may stop a job, plus a quarter of the time that it has worked.
	// If requests never end, a job therefore takes at most a quarter longer, plus what it loses at the lowest priority.
	firstPatience = 10 * time.Second
	patienceShare = 4
	// slice is how long a job without patience works, then stops, if a CPU quota makes priorities useless.
	slice = 500 * time.Millisecond
)

// Pauser stops jobs while requests run. A job has this process's priority. When a request begins, the pauser stops the
// job's process. It resumes the process after a second without requests. If something waits for the job, its patience
// is limited: when requests do not end, the job continues beside them at the lowest priority. After the requests it
// gets its priority back if the system permits that.
//
// The pauser writes the time for which a job was stopped to a file, which the job's clock reads (see Call.Now). Its
// methods may be called from several goroutines.
type Pauser struct {
	quota bool
	log   *slog.Logger

	mu    sync.Mutex
	busy  bool
	jobs  map[*pausable]struct{} // running jobs
	timer *time.Timer            // runs during idleBeforeResume; otherwise nil
}

// pausable is a job that a pauser can stop.
type pausable struct {
	hold      hold
	path      string // file for its clock
	unhurried bool   // its patience is unlimited
	began     time.Time
	stopped   time.Time // when the stop began; zero if the job works
	held      time.Duration
	timer     *time.Timer // ends its patience; nil if the job works or is unhurried
	told      bool        // whether the log says that its priority stays low
}

// NewPauser returns a pauser that lets jobs work. quota says that this process has a CPU quota. Even threads at the
// lowest priority use up the quota, and the system then also stops the threads that answer requests. With a quota, a
// job without patience therefore works only half of the time.
func NewPauser(quota bool, log *slog.Logger) *Pauser {
	return &Pauser{quota: quota, log: log, jobs: map[*pausable]struct{}{}}
}

// Requests tells the pauser whether any request is running. It returns immediately.
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

// use adds a job that begins, with the file for its clock. release removes the job. An unhurried job stays stopped as
// long as requests run.
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

// stop stops a job unless it is already stopped. The caller must hold mu.
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

// patience returns how much longer requests may stop a job.
func (j *pausable) patience() time.Duration {
	worked := time.Since(j.began) - j.held
	return firstPatience + worked/patienceShare - j.held
}

// losePatience resumes a job while requests run.
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

// stopAgain stops a job again that worked beside requests.
func (p *Pauser) stopAgain(job *pausable) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, runs := p.jobs[job]; runs && p.busy {
		p.stop(job)
	}
}

// resume resumes all jobs at their own priority.
func (p *Pauser) resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.busy {
		return
	}
	for job := range p.jobs {
		if !job.hold.raise() && !job.told {
			job.told = true
			p.log.Info("job keeps the lowest priority; CAP_SYS_NICE or a higher RLIMIT_NICE lets the server raise it")
		}
		p.goOn(job)
	}
}

// goOn resumes a job. It writes the file first, because the job reads the file only while it works. The caller must
// hold mu.
func (p *Pauser) goOn(job *pausable) {
	job.setTimer(0, nil)
	if job.stopped.IsZero() {
		return
	}
	job.held += time.Since(job.stopped)
	job.stopped = time.Time{}
	if err := noteHeld(job.path, job.held); err != nil {
		p.log.Warn("stopped time not recorded, the job counts it as working time", "error", err)
	}
	job.hold.resume()
}

// setTimer replaces the job's timer. If then is nil, it only stops the timer.
func (j *pausable) setTimer(after time.Duration, then func()) {
	if j.timer != nil {
		j.timer.Stop()
		j.timer = nil
	}
	if then != nil {
		j.timer = time.AfterFunc(after, then)
	}
}

// noteHeld writes the stopped time to the file. It overwrites in place, so that a full disk does not destroy the last
// value.
func noteHeld(path string, held time.Duration) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(binary.LittleEndian.AppendUint64(nil, uint64(held)))
	return errors.Join(err, file.Close())
}

// workingClock returns a clock that does not advance while a pauser stops the job. path is the pauser's file.
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
			before = after // the job was stopped in between: try again
		}
	}
}
