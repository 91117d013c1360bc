package infer

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// maxSamplers bounds the goroutines that sample in parallel, including the owner. Their cores would otherwise be idle,
// because sampling runs between two batches.
const maxSamplers = 16

// samplers spreads the sampling of one step over a few goroutines. Answers are independent of each other, so the
// assignment of jobs to goroutines does not change them.
//
// Each goroutine, including the owner, takes the next free job. On a virtual machine a core can take as long to wake up as several
// jobs. The owner therefore does not wait for a helper that has begun no job. If a GPU decodes, the owner stays on its core while
// others finish, because that core's cache has the data for its next batch.
type samplers struct {
	scratches []*scratch // one for each goroutine; the first is the owner's
	patience  time.Duration
	jobs      []*request // of this step
	rounds    chan *round
	helpers   sync.WaitGroup
}

// round is the sampling of one step. A late helper finds no jobs in it.
type round struct {
	jobs  []*request
	taken atomic.Int64
	left  atomic.Int64 // unfinished jobs
	done  sync.WaitGroup
}

// devicePatience is how long the owner polls for the end of the others before it sleeps, if a GPU decodes and cores are idle.
// It is the time of a few jobs.
const devicePatience = 200 * time.Microsecond

// computesOnDevice reports whether a decoder computes on a device and leaves the machine's cores idle.
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
		default: // helpers that have not returned from earlier rounds
		}
	}
	r.work(s.scratches[0])
	for begin := time.Now(); r.left.Load() > 0; {
		if time.Since(begin) >= s.patience {
			r.done.Wait()
		}
	}
}

// wanted returns the number of goroutines for this step's jobs: at least two jobs each.
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

// sample chooses the next token. A panic, a bug of this package, ends this answer and not the process.
func (r *request) sample(own *scratch) {
	defer func() {
		if p := recover(); p != nil {
			r.failed = fmt.Errorf("sampling panicked: %v", p)
		}
	}()
	r.sampled, r.failed = r.sampler.next(r.logits, own)
}
