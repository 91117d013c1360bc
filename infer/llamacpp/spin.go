package llamacpp

import (
	"bytes"
	"os"
	"runtime"
	"strconv"
	"sync"
	"time"
)

// How often OpenMP's threads look at a barrier before they sleep. A look takes some 15 ns. See decision 0301.
const (
	shortSpin = 1000  // other work wants the cores: who spins keeps it, or the thread that is waited for, from running
	longSpin  = 30000 // nobody else does: to sleep and to be woken up costs more than any wait
)

// lookEvery is how often a busy engine looks whether other work wants the cores, lookAfter when within a step: well after
// the goroutines that handed it over have come to rest.
const (
	lookEvery = 25 * time.Millisecond
	lookAfter = time.Millisecond
)

// spin decides between a short and a long spin. The zero value spins short.
type spin struct {
	free float64 // moving average of looks: 1 each thread had a core, 0 some waited for one
	long bool
}

// observe takes one look into account: how many threads of the machine run or wait for a core, with the one that looks; 0
// if unknown. It returns the spin count to use from now on. One look says little, as short work comes and goes: it
// takes several to change.
func (s *spin) observe(running, cores int) int {
	const weight = 0.25
	now := 0.0
	if running > 0 && running-1 <= cores {
		now = 1
	}
	s.free += weight * (now - s.free)
	switch {
	case s.free > 0.7:
		s.long = true
	case s.free < 0.4:
		s.long = false
	}
	if s.long {
		return longSpin
	}
	return shortSpin
}

// runningThreads reads the fourth field of /proc/loadavg, "running/all"; 0 if it is not there.
func runningThreads(loadavg []byte) int {
	fields := bytes.Fields(loadavg)
	if len(fields) < 4 {
		return 0
	}
	running, _, _ := bytes.Cut(fields[3], []byte("/"))
	n, err := strconv.Atoi(string(running))
	if err != nil {
		return 0
	}
	return n
}

// spinner keeps OpenMP's spin count right while models compute.
type spinner struct {
	timer *time.Timer
	last  time.Time // of the last look that was asked for

	mu   sync.Mutex
	spin spin
	file *os.File // /proc/loadavg, nil where there is none
	text [128]byte
}

func newSpinner() *spinner {
	s := &spinner{}
	s.file, _ = os.Open("/proc/loadavg")
	s.timer = time.AfterFunc(time.Hour, s.look)
	return s
}

// step tells that a step begins, and asks for a look within it where one is due. An engine that rests looks at nothing.
func (s *spinner) step() {
	if now := time.Now(); s.file != nil && now.Sub(s.last) >= lookEvery {
		s.last = now
		s.timer.Reset(lookAfter)
	}
}

func (s *spinner) look() {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, _ := s.file.ReadAt(s.text[:], 0)
	setSpin(s.spin.observe(runningThreads(s.text[:n]), runtime.NumCPU()))
}
