package infer

import (
	"fmt"
	"runtime"
	"sync"
)

// maxSamplers bounds the goroutines that sample side by side, the owner included. The cores they use would be idle:
// sampling comes between two batches.
const maxSamplers = 16

// samplers spreads the sampling of one step over a few goroutines. Answers are independent of each other, so who samples
// which changes nothing.
type samplers struct {
	scratches []*scratch // one for each goroutine; the first is the owner's
	jobs      []*request // of this step
	parts     chan int   // which helper is to work; room for all, so that handing out never waits
	pending   sync.WaitGroup
	helpers   sync.WaitGroup
}

// newSamplers starts the helpers; close ends them.
func newSamplers(dec Decoder) *samplers {
	n := max(min(runtime.GOMAXPROCS(0), maxSamplers, dec.Sequences()/2), 1)
	s := &samplers{parts: make(chan int, n)}
	for range n {
		s.scratches = append(s.scratches, scratchFor(dec))
	}
	for range n - 1 {
		s.helpers.Go(func() {
			for part := range s.parts {
				s.work(part)
				s.pending.Done()
			}
		})
	}
	return s
}

func (s *samplers) close() {
	close(s.parts)
	s.helpers.Wait()
}

// run samples the next token of each job into its sampled and failed fields.
func (s *samplers) run() {
	active := s.active()
	s.pending.Add(active - 1)
	for part := 1; part < active; part++ {
		s.parts <- part
	}
	s.work(0)
	s.pending.Wait()
}

// active is how many goroutines share this step's jobs: at least two jobs each.
func (s *samplers) active() int { return min(len(s.scratches), max(len(s.jobs)/2, 1)) }

// work samples one part of the jobs. A panic, a fault of ours, ends those answers and not the process.
func (s *samplers) work(part int) {
	at, active := part, s.active()
	defer func() {
		if p := recover(); p != nil {
			for ; at < len(s.jobs); at += active {
				s.jobs[at].failed = fmt.Errorf("sampling panicked: %v", p)
			}
		}
	}()
	for ; at < len(s.jobs); at += active {
		r := s.jobs[at]
		r.sampled, r.failed = r.sampler.next(r.logits, s.scratches[part])
	}
}
