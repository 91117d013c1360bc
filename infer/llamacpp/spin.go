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
	shortSpin = 1000  // if other work needs the cores: a spinning thread blocks it, or the thread that it waits for
	longSpin  = 30000 // if the machine is free: sleeping and waking up costs more than any wait
)

// lookEvery is the interval at which a busy engine samples the machine's load. lookAfter is the delay of a sample within a
// step. It is long enough for the goroutines that handed the step over to stop.
const (
	lookEvery = 25 * time.Millisecond
	lookAfter = time.Millisecond
)

// spin decides between a short and a long spin. The zero value spins short.
type spin struct {
	free float64 // moving average of samples: 1 if each thread had a core, 0 if some waited for one
	long bool
}

// observe adds one sample: how many threads of the machine run or wait for a core, including the one that samples; 0 if
// unknown. It returns the new spin count. Short work makes single samples unreliable, so a change takes several.
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

// runningThreads returns the first number in the fourth field of /proc/loadavg, "running/all", or 0 if it is not valid.
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

// step begins a step and, if a sample is due, requests one within the step. An idle engine takes no samples.
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
