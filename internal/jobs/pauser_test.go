package jobs

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

// look is the state in which a pauser has put a job.
type look struct{ stopped, lowered bool }

func (p *Pauser) look(h *hold) look {
	h.mu.Lock()
	defer h.mu.Unlock()
	return look{h.stopped, h.lowered}
}

// working: the job has all cores. stopped: it has none. beside: it has what requests leave.
var working, stopped, beside = look{}, look{stopped: true}, look{lowered: true}

// watch advances the clock of the synctest bubble and checks the job's state.
func watch(t *testing.T, p *Pauser, h *hold, after time.Duration, want look, what string) {
	t.Helper()
	<-time.After(after)
	synctest.Wait()
	if got := p.look(h); got != want {
		t.Errorf("%s: %+v, want %+v", what, got, want)
	}
}

func newTestPauser(t *testing.T, quota bool) (p *Pauser, path string) {
	return NewPauser(quota, slog.New(slog.DiscardHandler)), filepath.Join(t.TempDir(), "held")
}

// A job is stopped while requests run, even if they began before the job, and continues after they have ended. Its
// clock does not advance while it is stopped.
func TestPauser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, path := newTestPauser(t, false)
		clock := workingClock(path)
		p.Requests(true) // no job yet
		hold, release := p.use(path, true)
		watch(t, p, hold, 0, stopped, "a training that begins while a request runs")
		began, worked := time.Now(), clock()
		p.Requests(false)
		watch(t, p, hold, idleBeforeResume-1, stopped, "at once after a request")
		watch(t, p, hold, 1, working, "after a second without a request")
		p.Requests(true)
		p.Requests(true)
		watch(t, p, hold, 24*time.Hour, stopped, "an unhurried job beside a day of requests")
		p.Requests(false)
		p.Requests(true)
		watch(t, p, hold, 2*idleBeforeResume, stopped, "a request within the second")
		p.Requests(false)
		watch(t, p, hold, idleBeforeResume, working, "after the last request")
		if stood, want := time.Since(began)-clock().Sub(worked), 24*time.Hour+4*idleBeforeResume; stood != want {
			t.Errorf("the clock lags by %s, want %s", stood, want)
		}
		release()
		p.Requests(true)
		p.Requests(false)
	})
}

// Only requests stop or slow a job. Without one it keeps this process's priority.
func TestJobGivesWayToRequestsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, path := newTestPauser(t, false)
		hold, release := p.use(path, false)
		defer release()
		watch(t, p, hold, time.Hour, working, "without a request")
		p.Requests(true)
		watch(t, p, hold, firstPatience, stopped, "beside a request")
		p.Requests(false)
		watch(t, p, hold, idleBeforeResume, working, "after the request")
	})
}

// Requests that never end do not stop a job forever. The job loses its patience and works beside them at the lowest
// priority.
func TestEndlessRequestsDoNotStarveAJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, path := newTestPauser(t, false)
		hold, release := p.use(path, false)
		defer release()
		began := time.Now()
		watch(t, p, hold, 40*time.Second, working, "without a request")
		p.Requests(true)
		watch(t, p, hold, firstPatience+10*time.Second-1, stopped, "within its patience: ten seconds, and a quarter of forty")
		watch(t, p, hold, 1, beside, "after its patience")
		watch(t, p, hold, time.Hour, beside, "beside requests without end")
		p.Requests(false)
		watch(t, p, hold, idleBeforeResume, working, "after requests without end")

		// An hour of requests with short gaps cannot stop the job for longer than its patience either.
		for range 1000 {
			p.Requests(true)
			<-time.After(3 * time.Second)
			p.Requests(false)
			<-time.After(idleBeforeResume / 2)
		}
		stood := clockLag(path)
		if worked := time.Since(began) - stood; stood > firstPatience+worked/patienceShare {
			t.Errorf("the job worked for %s and was stopped for %s", worked, stood)
		}
	})
}

// clockLag returns how long the job that has this file has been stopped.
func clockLag(path string) time.Duration { return time.Since(workingClock(path)()) }

// Under a CPU quota even a job of low priority takes time from the threads that answer requests. After its patience it
// therefore works only half of the time.
func TestJobUnderAQuota(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, path := newTestPauser(t, true)
		hold, release := p.use(path, false)
		p.Requests(true)
		watch(t, p, hold, firstPatience-1, stopped, "within its patience")
		watch(t, p, hold, 1, beside, "after its patience")
		before := clockLag(path)
		for range 20 {
			watch(t, p, hold, slice, look{stopped: true, lowered: true}, "after half a second of work")
			watch(t, p, hold, slice, beside, "after half a second without")
		}
		if got := clockLag(path) - before; got != 20*slice {
			t.Errorf("the job was stopped for %s of %s, want half", got, 40*slice)
		}
		p.Requests(false)
		watch(t, p, hold, idleBeforeResume, working, "after the requests")
		watch(t, p, hold, time.Hour, working, "long after the requests")
		p.Requests(true)
		release()
		<-time.After(time.Hour)
	})
}

// lower and raise apply to all threads of a child, and to threads that it starts later.
func TestLowerAndRaise(t *testing.T) {
	var hold hold
	hold.lower() // before the child starts
	parent := testParent(t.TempDir())
	parent.hold = &hold
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	pid := make(chan int, 1)
	ended := make(chan error, 1)
	go func() {
		_, _, err := parent.Do(ctx, "threads", nil, nil, func(raw json.RawMessage) {
			var id int
			if err := json.Unmarshal(raw, &id); err == nil {
				pid <- id
			}
		})
		ended <- err
	}()
	child := <-pid
	checkThreads(t, child, lowestPriority)
	own, err := niceness(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if hold.raise() {
		checkThreads(t, child, own)
	} else {
		checkThreads(t, child, lowestPriority)
	}
	cancel()
	<-ended
	if !hold.raise() {
		t.Error("after the job has ended, raise still reports a low priority")
	}
}

func checkThreads(t *testing.T, pid, want int) {
	t.Helper()
	threads, err := filepath.Glob(filepath.Join("/proc", strconv.Itoa(pid), "task", "*"))
	if err != nil || len(threads) < 1 {
		t.Fatalf("threads of %d: %v, %v", pid, threads, err)
	}
	for _, path := range threads {
		id, err := strconv.Atoi(filepath.Base(path))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := niceness(id); err == nil && got != want { // an error means that the thread has ended
			t.Errorf("thread %d has priority %d, want %d", id, got, want)
		}
	}
}
