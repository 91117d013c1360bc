package infer

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// maxSamplers bounds the goroutines that sample side by side, the owner included. The cores they use would be idle:
// sampling comes between two batches.
const maxSamplers = 16

// samplers spreads the sampling of one step over a few goroutines. Answers are independent of each other, so who samples
// which changes nothing.
//
// Each goroutine takes the next job that nobody has, the owner too. A core that sleeps takes long to wake, on a virtual machine
// as long as several jobs take, so nobody waits for a helper that has begun nothing. Where a GPU decodes, the owner stays on its core
// while others finish, since what it decodes next lies in that core's cache.
type samplers struct {
	scratches []*scratch // one for each goroutine; the first is the owner's
	patience  time.Duration
	jobs      []*request // of this step
	rounds    chan *round
	helpers   sync.WaitGroup
}

// round is the sampling of one step. A helper that comes late finds nothing left in it.
type round struct {
	jobs  []*request
	taken atomic.Int64
	left  atomic.Int64 // jobs that are not done
	done  sync.WaitGroup
}

// devicePatience is how long the owner looks whether the others are done before it sleeps, where cores are idle: some jobs' time.
const devicePatience = 200 * time.Microsecond

// computesOnDevice tells whether a decoder leaves the machine's cores idle, if it knows.
func computesOnDevice(dec Decoder) bool {
	d, ok := dec.(interface{ OnDevice() bool })
	return ok && d.OnDevice()
}

// newSamplers starts the helpers; close ends them.
func newSamplers(dec Decoder) *samplers {
	n := max(min(runtime.GOMAXPROCS(0), maxSamplers, dec.Sequences()/2), 1)
	s := &samplers{rounds: make(chan *round, n)}
	if computesOnDevice(dec) {
		s.patience = devicePatience
	}
	for range n {
		s.scratches = append(s.scratches, scratchFor(dec))
	}
	for _, own := range s.scratches[1:] {
		s.helpers.Go(func() {
			for r := range s.rounds {
				r.work(own)
			}
		})
	}
	return s
}

func (s *samplers) close() {
	close(s.rounds)
	s.helpers.Wait()
}

// run samples the next token of each job into its sampled and failed fields.
func (s *samplers) run() {
	wanted := s.wanted()
	if wanted == 1 {
		for _, r := range s.jobs {
			r.sample(s.scratches[0])
		}
		return
	}
	r := &round{jobs: s.jobs}
	r.left.Store(int64(len(r.jobs)))
	r.done.Add(1)
	for range wanted - 1 {
		select {
		case s.rounds <- r:
		default: // so many helpers are not back from earlier rounds
		}
	}
	r.work(s.scratches[0])
	for begin := time.Now(); r.left.Load() > 0; {
		if time.Since(begin) >= s.patience {
			r.done.Wait()
		}
	}
}

// wanted is how many goroutines this step's jobs are for: at least two jobs each.
func (s *samplers) wanted() int { return min(len(s.scratches), max(len(s.jobs)/2, 1)) }

// work does jobs until none is left.
func (r *round) work(own *scratch) {
	for {
		at := int(r.taken.Add(1)) - 1
		if at >= len(r.jobs) {
			return
		}
		r.jobs[at].sample(own)
		if r.left.Add(-1) == 0 {
			r.done.Done()
		}
	}
}

// sample chooses the next token. A panic, a fault of ours, ends this answer and not the process.
func (r *request) sample(own *scratch) {
	defer func() {
		if p := recover(); p != nil {
			r.failed = fmt.Errorf("sampling panicked: %v", p)
		}
	}()
	r.sampled, r.failed = r.sampler.next(r.logits, own)
}
