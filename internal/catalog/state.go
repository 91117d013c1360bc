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

// maxOffered bounds the number of listed ratios that other replicas made.
const maxOffered = 64

// state holds everything in a catalog that changes, except shedding's observations.
//
// # Concurrency
//
// mu guards all fields after it, and the shelves and engines that they point to. The caller of any method, including
// those of stock, must hold mu. No method blocks, and the only callbacks are onUse and onMake.
type state struct {
	limits Limits
	onUse  func(inUse bool)
	onMake func(making bool)

	mu sync.Mutex
	stock
	clock    func() time.Time
	closed   bool             // if true, spawn starts no goroutine
	spawned  sync.WaitGroup   // goroutines that spawn started
	offered  map[float64]bool // ratios that other replicas made
	made     ledger
	failures *failures
	activity activity
	next     string // one line about the file that replaces the startup variant's next; "": none does
}

func newState(options Options) *state {
	return &state{
		limits: options.Limits, onUse: options.Hooks.OnUse, onMake: options.Hooks.OnMake,
		stock:    newStock(options.Model),
		clock:    time.Now,
		offered:  map[float64]bool{},
		made:     newLedger(options.Model.Startup),
		failures: newFailures(options.Model.Startup),
	}
}

// errClosed is the error of requests after Close.
var errClosed = errors.New("catalog is closed")

// spawn runs f on a goroutine that Close waits for. If the catalog is closed, it does nothing.
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

// release records that a request no longer holds the engine. If last is true, the caller must close the engine.
func (s *state) release(e *engine) (last bool) {
	e.users--
	e.used = s.clock()
	s.count(func() { s.activity.requests-- })
	return e.evicted && e.users == 0
}

// count changes the activity. It calls a hook if use or making begins or ends.
func (s *state) count(change func()) {
	used, made := s.activity.inUse(), s.activity.making > 0
	change()
	if now := s.activity.inUse(); s.onUse != nil && used != now {
		s.onUse(now)
	}
	if now := s.activity.making > 0; s.onMake != nil && made != now {
		s.onMake(now)
	}
}

// checkMake returns an error if making a variant would exceed this process's limit.
func (s *state) checkMake(ratio float64) error {
	if s.made.free(ratio) || s.limits.mayMake(s.made.extra()) {
		return nil
	}
	return &server.NotReadyError{RetryAfter: retryFull, Progress: fmt.Sprintf(
		"this server makes at most %d variants besides its own and has made them all; an administrator can delete one", s.limits.MaxMade)}
}

// checkPlace returns an error if a variant can never be loaded, because variants that stay loaded take all places.
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

// offer records a ratio that another replica has made. It reports whether the ratio is new in this catalog.
func (s *state) offer(ratio float64) bool {
	if s.offered[ratio] || len(s.offered) >= maxOffered {
		return false
	}
	s.offered[ratio] = true
	_, here := s.shelves[ratio]
	return !here
}

// known returns all ratios about which there is something to report, in ascending order.
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
