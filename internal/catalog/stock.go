package catalog

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"prunellm/internal/slo"
	"prunellm/internal/variant"
)

// shelf holds the result for a requested ratio. done is closed once engine or err is set.
type shelf struct {
	ratio    float64
	done     chan struct{}
	engine   *engine
	err      error
	progress variant.Progress
}

// filled reports whether the shelf's engine or error is set.
func (s *shelf) filled() bool { return isClosed(s.done) }

// engine is a loaded variant.
type engine struct {
	Loaded
	built   variant.Built
	bytes   int64          // of memory
	users   int            // requests that hold it
	used    time.Time      // when a request last took or released it
	evicted bool           // removed from the catalog; its last user closes it
	cost    *variant.Card  // cost of pruning; nil if unknown
	speed   *variant.Speed // speed of this variant; nil if unknown

	provisional bool            // whether the speed was measured beside other programs
	seen        []time.Duration // inter-token latencies of requests since the measurement; see experience.go
	remeasured  int             // how often seen has led to another measurement

	stopMeasuring context.CancelFunc // ends the running speed measurement; nil if none runs
}

// stock holds the requested variants and the loaded engines. It is plain data: state's mutex guards it.
type stock struct {
	model   Model
	shelves map[float64]*shelf // by requested ratio
	loaded  map[string]*engine // by the digest of the variant
	pinned  map[float64]bool   // ratios pinned by an administrator or by the ladder
}

func newStock(model Model) stock {
	return stock{model: model, shelves: map[float64]*shelf{}, loaded: map[string]*engine{}, pinned: map[float64]bool{}}
}

// engine returns the engine of a ratio if it is loaded and works, otherwise nil.
func (s *stock) engine(ratio float64) *engine {
	shelf, ok := s.shelves[ratio]
	if !ok || shelf.engine == nil || isClosed(shelf.engine.Done()) || s.loaded[shelf.engine.built.Digest] != shelf.engine {
		return nil
	}
	return shelf.engine
}

// shared reports whether any ratio has the engine.
func (s *stock) shared(e *engine) bool {
	for _, shelf := range s.shelves {
		if shelf.engine == e {
			return true
		}
	}
	return false
}

// standIn reports whether the engine is the dense model and answers in place of a startup variant that is not loaded.
func (s *stock) standIn(e *engine) bool {
	dense, ok := s.shelves[0]
	return ok && dense.engine == e && s.denseStandsIn()
}

// denseStandsIn reports whether the dense model answers, once it is loaded, in place of a startup variant that is not
// loaded.
func (s *stock) denseStandsIn() bool {
	return s.model.ServeDense && s.model.Startup != 0 && s.engine(s.model.Startup) == nil
}

// residents describes the loaded engines.
func (s *stock) residents() []resident {
	fixed := map[*engine]bool{}
	for ratio, shelf := range s.shelves {
		if shelf.engine != nil && (ratio == s.model.Startup || s.pinned[ratio]) {
			fixed[shelf.engine] = true
		}
	}
	out := make([]resident, 0, len(s.loaded))
	for digest, e := range s.loaded {
		out = append(out, resident{
			digest: digest, bytes: e.bytes, users: e.users, used: e.used, fixed: fixed[e], standIn: s.standIn(e),
		})
	}
	return out
}

// evict removes an engine from the catalog. If idle is true, the caller must close the engine; otherwise its last user
// does.
func (s *stock) evict(e *engine) (idle bool) {
	e.evicted = true
	if e.stopMeasuring != nil {
		e.stopMeasuring()
	}
	delete(s.loaded, e.built.Digest)
	return e.users == 0
}

// exchange puts an engine on the shelf of a ratio and evicts the previous one unless another ratio has it too. If idle
// is true, the caller must close the old engine.
func (s *stock) exchange(ratio float64, next *engine) (old *engine, idle bool, err error) {
	old = s.engine(ratio)
	if old == nil {
		return nil, false, fmt.Errorf("%w: %s", ErrNotServed, variant.Name(s.model.Name, ratio))
	}
	s.shelves[ratio].engine = next
	s.loaded[next.built.Digest] = next
	if next.speed == nil { // the new file has the same number of weights, so the old speed is right until it is measured
		next.speed, next.provisional = old.speed, old.provisional
	}
	if s.shared(old) {
		return old, false, nil
	}
	return old, s.evict(old), nil
}

// comparedWith returns e and the other loaded engines. Users compare their cards, so all are measured in turns.
func (s *stock) comparedWith(e *engine) []*engine {
	engines := []*engine{e}
	for _, digest := range slices.Sorted(maps.Keys(s.loaded)) {
		if other := s.loaded[digest]; other != e && !isClosed(other.Done()) {
			engines = append(engines, other)
		}
	}
	return engines
}

// drain empties the stock and returns the engines that were loaded.
func (s *stock) drain() []*engine {
	engines := slices.Collect(maps.Values(s.loaded))
	clear(s.loaded)
	clear(s.shelves)
	return engines
}

// candidates returns those of the ratios whose variants are loaded, with their speeds if known.
func (s *stock) candidates(ratios []float64) (out []slo.Candidate) {
	for _, ratio := range ratios {
		e := s.engine(ratio)
		if e == nil {
			continue
		}
		candidate := slo.Candidate{Ratio: ratio}
		if e.speed != nil {
			candidate.TTFT, candidate.ITL, candidate.Measured = e.speed.TTFT(), e.speed.ITL(), true
		}
		out = append(out, candidate)
	}
	return out
}

// load returns the load of a ratio's engine. It is zero if the engine is not loaded.
func (s *stock) load(ratio float64) load {
	e := s.engine(ratio)
	if e == nil {
		return load{}
	}
	stats := e.Stats()
	return load{running: stats.Running, queued: stats.Queued, sequences: e.Info().Sequences}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
