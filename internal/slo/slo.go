// Package slo decides which variant answers when limits on latency are given: the largest one that keeps them by what was
// measured, and under load a smaller one for as long as needed.
//
// All of it is pure: what is seen goes in, a decision comes out, and time is a parameter. Who calls owns the state.
package slo

import (
	"cmp"
	"slices"
	"time"
)

// Limits are what answers should keep; 0 is no limit.
type Limits struct {
	TTFT time.Duration // time to the first token
	ITL  time.Duration // time between tokens
}

// Set tells whether there is a limit.
func (l Limits) Set() bool { return l != Limits{} }

// Candidate is a variant with its measured speed for one stream.
type Candidate struct {
	Ratio     float64 // share of all parameters removed
	TTFT, ITL time.Duration
	Measured  bool // false: nothing is known of its speed
}

// Choose is the ratio of the largest candidate that keeps the limits: the one that removes least. If none does, it is the
// measured one that removes most. ok is false while none is measured.
func Choose(candidates []Candidate, limits Limits) (ratio float64, ok bool) {
	sorted := slices.SortedFunc(slices.Values(candidates), func(a, b Candidate) int { return cmp.Compare(a.Ratio, b.Ratio) })
	for _, c := range sorted {
		if !c.Measured {
			continue
		}
		ratio, ok = c.Ratio, true
		if within(c.TTFT, limits.TTFT, 1) && within(c.ITL, limits.ITL, 1) {
			return ratio, true
		}
	}
	return ratio, ok
}

// within tells whether a time is at most a share of a limit.
func within(t, limit time.Duration, share float64) bool {
	return limit == 0 || float64(t) <= share*float64(limit)
}

// Seen is what was observed over the last Window.
type Seen struct {
	Answers   int           // first tokens and ends that came
	TTFT, ITL time.Duration // 90th percentiles of those; 0 when there were none
	Waiting   time.Duration // how long the request has waited that waits longest for its first token; 0: none waits
	Expected  time.Duration // how long a request that came now would wait for a sequence; 0: one is free
}

// Wait is how long a request that came now would wait for a sequence, when a running one holds its own for service on average
// and queued ones go first: with c servers one is free every service/c.
func Wait(running, queued, sequences int, service time.Duration) time.Duration {
	if running < sequences || sequences <= 0 {
		return 0
	}
	return service * time.Duration(queued+1) / time.Duration(sequences)
}

// State is where shedding stands. The zero value sheds nothing.
type State struct {
	Level    int           // steps down the ladder from the usual variant
	Changed  time.Time     // when Level last changed
	Calm     time.Time     // since when all was well; zero while it is not
	Restored time.Time     // when a larger variant was tried again that has not held yet; zero: none
	Patience time.Duration // how long it must be well before a larger variant is tried again
}

// Policy is how quickly shedding reacts. Two thresholds and two times keep it from swinging: it goes down at Shed of a
// limit and up only below Restore of it, down at once and up after a while that doubles when the last try went wrong. Where the queue
// alone breaks the limit it goes down all the way.
type Policy struct {
	Shed      float64       // share of a limit at which a smaller variant takes over
	Restore   float64       // share of a limit below which all is well; less than Shed
	Settle    time.Duration // after a change, before the next step down: it must show first
	Calm      time.Duration // all must be well for so long before a step up
	MostCalm  time.Duration // bound of the doubling
	Probation time.Duration // a step up that is taken back within it went wrong: a queue takes its time to grow
}

// DefaultPolicy suits answers of some seconds.
func DefaultPolicy() Policy {
	return Policy{
		Shed: 0.6, Restore: 0.4, Settle: time.Second, Calm: 10 * time.Second, MostCalm: 5 * time.Minute, Probation: 2 * time.Minute,
	}
}

// Window is how far back Seen should look.
const Window = 5 * time.Second

// Next decides after something was seen. levels is how many variants there are below the usual one.
func (p Policy) Next(s State, seen Seen, limits Limits, levels int, now time.Time) State {
	s.Level = min(s.Level, levels)
	if s.Patience == 0 {
		s.Patience = p.Calm
	}
	keeps := func(share float64) bool {
		return within(seen.TTFT, limits.TTFT, share) && within(max(seen.Waiting, seen.Expected), limits.TTFT, share) &&
			within(seen.ITL, limits.ITL, share)
	}
	switch {
	case !keeps(p.Shed):
		s.Calm = time.Time{}
		if s.Level < levels && (s.Level == 0 || now.Sub(s.Changed) >= p.Settle) {
			if !s.Restored.IsZero() {
				s.Patience = min(2*s.Patience, p.MostCalm) // the last step up went wrong
			}
			step := 1
			if !within(max(seen.Waiting, seen.Expected), limits.TTFT, 1) {
				step = levels - s.Level // the queue alone breaks the limit: every step on the way would add to it
			}
			s.Level, s.Changed, s.Restored = s.Level+step, now, time.Time{}
		}
	case !keeps(p.Restore):
		s.Calm = time.Time{} // neither good nor bad: stay
	case s.Calm.IsZero():
		s.Calm = now
	case s.Level > 0 && now.Sub(s.Calm) >= s.Patience:
		s.Level, s.Changed, s.Calm, s.Restored = s.Level-1, now, now, now
	case !s.Restored.IsZero() && now.Sub(s.Restored) >= max(p.Probation, 2*s.Patience):
		s.Patience, s.Restored = p.Calm, time.Time{} // it held
	}
	return s
}
