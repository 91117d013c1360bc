// Package slo decides which variant serves requests under latency limits: the largest variant whose measured speed is within the
// limits, and a smaller one while the load is high.
//
// It is pure: it receives observations and the time, and returns a decision. The caller owns the state.
package slo

import (
	"cmp"
	"slices"
	"time"
)

// Limits are upper bounds for the latency of answers; 0 means no limit.
type Limits struct {
	TTFT time.Duration // time to the first token
	ITL  time.Duration // inter-token latency
}

// Set reports whether any limit is set.
func (l Limits) Set() bool { return l != Limits{} }

// Candidate is a variant with its measured speed for one stream.
type Candidate struct {
	Ratio     float64 // share of all parameters removed
	TTFT, ITL time.Duration
	Measured  bool // false: its speed is unknown
}

// Choose returns the ratio of the least pruned candidate within the limits, or of the most pruned one if none is. It ignores
// unmeasured candidates, and those that are slower in both times than a less pruned candidate. ok is false if no candidate is
// measured.
func Choose(candidates []Candidate, limits Limits) (ratio float64, ok bool) {
	sorted := slices.SortedFunc(slices.Values(candidates), func(a, b Candidate) int { return cmp.Compare(a.Ratio, b.Ratio) })
	var kept []Candidate
	for _, c := range sorted {
		beaten := slices.ContainsFunc(kept, func(k Candidate) bool { return k.TTFT <= c.TTFT && k.ITL <= c.ITL })
		if !c.Measured || beaten {
			continue
		}
		kept = append(kept, c)
		ratio, ok = c.Ratio, true
		if within(c.TTFT, limits.TTFT, 1) && within(c.ITL, limits.ITL, 1) {
			return ratio, true
		}
	}
	return ratio, ok
}

// within reports whether a time is at most a share of a limit.
func within(t, limit time.Duration, share float64) bool {
	return limit == 0 || float64(t) <= share*float64(limit)
}

// Seen summarizes the observations of the last Window.
type Seen struct {
	Answers   int           // first tokens and ends of answers
	TTFT, ITL time.Duration // their 90th percentiles; 0 if there were none
	Waiting   time.Duration // of the request that has waited longest for its first token; 0 if none waits
	Expected  time.Duration // time that a new request would wait for a sequence; 0 if one is free
}

// Wait returns how long a new request would wait for a sequence. Queued requests go first, and each request holds its sequence for
// service on average. With c sequences, one therefore becomes free every service/c.
func Wait(running, queued, sequences int, service time.Duration) time.Duration {
	if running < sequences || sequences <= 0 {
		return 0
	}
	return service * time.Duration(queued+1) / time.Duration(sequences)
}

// State is the state of shedding. The zero value sheds nothing.
type State struct {
	Level    int           // steps down the ladder from the usual variant
	Changed  time.Time     // when Level last changed
	Calm     time.Time     // since when latencies are below Restore of the limits; zero: they are not
	Restored time.Time     // when the last step up happened, if it is still on probation; zero: none
	Patience time.Duration // how long calm must last before the next step up
}

// Policy configures how fast shedding reacts. Two thresholds and two times prevent oscillation. Shedding steps down at once when a
// latency reaches the share Shed of its limit. It steps up only after latencies were below the share Restore for the time Calm,
// which doubles if the last step up failed. If the queue alone exceeds the limit, it steps down to the smallest variant.
type Policy struct {
	Shed      float64       // share of a limit at which a smaller variant replaces the larger one
	Restore   float64       // share of a limit below which calm begins; less than Shed
	Settle    time.Duration // minimum time between a change and the next step down, so that the change can take effect
	Calm      time.Duration // minimum duration of calm before a step up
	MostCalm  time.Duration // largest value to which Calm doubles
	Probation time.Duration // a step up failed if shedding steps down again within this time, because a queue grows slowly
}

// DefaultPolicy returns a policy for answers that take seconds.
func DefaultPolicy() Policy {
	return Policy{
		Shed: 0.6, Restore: 0.4, Settle: time.Second, Calm: 10 * time.Second, MostCalm: 5 * time.Minute, Probation: 2 * time.Minute,
	}
}

// Window is the time span of Seen.
const Window = 5 * time.Second

// Next returns the state after an observation. levels is the number of variants below the usual one.
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
				s.Patience = min(2*s.Patience, p.MostCalm) // the last step up has failed
			}
			step := 1
			if !within(max(seen.Waiting, seen.Expected), limits.TTFT, 1) {
				step = levels - s.Level // the queue alone exceeds the limit, and would grow during every intermediate step
			}
			s.Level, s.Changed, s.Restored = s.Level+step, now, time.Time{}
		}
	case !keeps(p.Restore):
		s.Calm = time.Time{} // between the thresholds: keep the level
	case s.Calm.IsZero():
		s.Calm = now
	case s.Level > 0 && now.Sub(s.Calm) >= s.Patience:
		s.Level, s.Changed, s.Calm, s.Restored = s.Level-1, now, now, now
	case !s.Restored.IsZero() && now.Sub(s.Restored) >= max(p.Probation, 2*s.Patience):
		s.Patience, s.Restored = p.Calm, time.Time{} // the step up succeeded
	}
	return s
}

// Ladder returns the ratios and the startup ratio, ascending and without duplicates.
func Ladder(ratios []float64, startup float64) []float64 {
	all := append(slices.Clone(ratios), startup)
	slices.Sort(all)
	return slices.Compact(all)
}
