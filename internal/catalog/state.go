package catalog

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"prunellm/internal/variant"
	"prunellm/server"
)

// maxOffered bounds the listed ratios that another replica made.
const maxOffered = 64

// state is everything in a catalog that changes, except shedding's observations.
//
// # Concurrency
//
// mu guards all fields after it and the shelves and engines that they lead to. Every method, stock's too, expects its
// caller to hold mu. No method blocks, and the only callback is onUse.
type state struct {
	limits Limits
	onUse  func(inUse bool)

	mu sync.Mutex
	stock
	clock    func() time.Time
	closed   bool             // spawn starts no goroutine any more
	spawned  sync.WaitGroup   // goroutines; see spawn
	offered  map[float64]bool // made by other replicas
	made     ledger
	failures *failures
	activity activity
}

func newState(options Options) *state {
	return &state{
		limits: options.Limits, onUse: options.Hooks.OnUse,
		stock:    newStock(options.Model),
		clock:    time.Now,
		offered:  map[float64]bool{},
		made:     newLedger(options.Model.Startup),
		failures: newFailures(options.Model.Startup),
	}
}

// errClosed is the error of requests after Close.
var errClosed = errors.New("catalog is closed")

// spawn runs f on a goroutine that Close waits for; on a closed catalog it does nothing.
func (s *state) spawn(f func()) {
	if !s.closed {
		s.spawned.Go(f)
	}
}

// take records that a request holds the engine.
func (s *state) take(e *engine) {
	s.count(s.activity.request)
	e.users++
	e.used = s.clock()
}

// release ends take. last reports that the caller must close the engine.
func (s *state) release(e *engine) (last bool) {
	e.users--
	e.used = s.clock()
	s.count(func() { s.activity.requests-- })
	return e.evicted && e.users == 0
}

// count changes the activity, and calls the hook when use begins or ends.
func (s *state) count(change func()) {
	before := s.activity.inUse()
	change()
	if after := s.activity.inUse(); s.onUse != nil && before != after {
		s.onUse(after)
	}
}

// checkMake refuses a variant beyond the limit of this process.
func (s *state) checkMake(ratio float64) error {
	if s.made.free(ratio) || s.limits.mayMake(s.made.extra()) {
		return nil
	}
	return &server.NotReadyError{RetryAfter: retryFull, Progress: fmt.Sprintf(
		"this server makes at most %d variants besides its own and has made them all; an administrator can delete one", s.limits.MaxMade)}
}

// checkPlace refuses a variant that can never be loaded, because the variants that stay loaded take all places.
func (s *state) checkPlace(ratio float64) error {
	if ratio == 0 && s.denseStandsIn() {
		return nil
	}
	place := func(ratio float64) string { // ratios with the same file share a place
		return cmp.Or(s.made.digest(ratio), variant.Name(s.model.Name, ratio))
	}
	var reserved []string
	if _, ok := s.shelves[s.model.Startup]; ok {
		reserved = append(reserved, place(s.model.Startup))
	}
	for ratio := range s.pinned {
		reserved = append(reserved, place(ratio))
	}
	if s.limits.hasPlace(reserved, place(ratio)) {
		return nil
	}
	return &server.NotReadyError{RetryAfter: retryFull, Progress: fmt.Sprintf(
		"the startup variant and pinned variants take all places for loaded variants (%d)", s.limits.places())}
}

// offer records a ratio that another replica has made. It reports whether the ratio is new here.
func (s *state) offer(ratio float64) bool {
	if s.offered[ratio] || len(s.offered) >= maxOffered {
		return false
	}
	s.offered[ratio] = true
	_, here := s.shelves[ratio]
	return !here
}

// known returns all ratios with anything to report, in order.
func (s *state) known() []float64 {
	ratios := []float64{s.model.Startup}
	for ratio, shelf := range s.shelves {
		if !shelf.filled() || s.engine(ratio) != nil {
			ratios = append(ratios, ratio)
		}
	}
	for ratio := range s.pinned {
		ratios = append(ratios, ratio)
	}
	for ratio := range s.failures.reasons {
		ratios = append(ratios, ratio)
	}
	for ratio := range s.offered {
		ratios = append(ratios, ratio)
	}
	slices.Sort(ratios)
	return slices.Compact(ratios)
}
