package llamacpp

import (
	"bytes"
	"os"
	"runtime"
	"strconv"
	"sync"
	"time"
)

// How often OpenMP's threads poll a barrier before they sleep. A poll takes some 15 ns. See decision 0301.
const (
	shortSpin = 1000  // other work needs the cores: a spinning thread keeps it, or the thread that it waits for, from running
	longSpin  = 30000 // the machine is free: to sleep and to wake up costs more than any wait
)

// lookEvery is the interval at which a busy engine samples the machine's load, lookAfter the delay of a sample within a
// step: well after the goroutines that handed the step over have stopped.
const (
	lookEvery = 25 * time.Millisecond
	lookAfter = time.Millisecond
)

// spin decides between a short and a long spin. The zero value spins short.
type spin struct {
	free float64 // moving average of samples: 1 each thread had a core, 0 some waited for one
	long bool
}

// observe adds one sample: how many threads of the machine run or wait for a core, including the one that samples; 0 if
// unknown. It returns the spin count to use from now on. Short work makes single samples unreliable, so a change takes
// several.
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

// runningThreads reads the fourth field of /proc/loadavg, "running/all"; 0 if it cannot.
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

// spinner adjusts OpenMP's spin count while models compute.
type spinner struct {
	timer *time.Timer
	last  time.Time // of the last sample requested

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

// step begins a step, and requests a sample within it when one is due. An idle engine samples nothing.
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
