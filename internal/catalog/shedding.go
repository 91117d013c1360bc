package catalog

import (
	"slices"
	"time"

	"prunellm/internal/slo"
)

// The bounds of shedding's history.
const (
	maxSeen    = 4096 // latencies of each kind
	maxService = 16   // durations for which answers held their sequences
)

// decisionInterval is the shortest interval between two decisions.
const decisionInterval = 50 * time.Millisecond

// shedding decides how many steps requests move down the ladder. Its input is observations and the time; its output is
// a level. It has no lock and no clock. The zero value sheds nothing.
type shedding struct {
	state   slo.State
	decided time.Time
	epoch   int // number of level changes so far
	tickets int // number of answers so far

	// The remaining fields describe the variant that serves requests now. A new level resets them, because answers of
	// the previous variant, some perhaps still queued, no longer count.
	waiting map[int]time.Time // for answers without a first token: when they were submitted, by ticket number
	ttft    []timed
	itl     []timed
	service []time.Duration // how long each of the last answers held its sequence
}

// timed is an observation with its time.
type timed struct {
	at    time.Time
	value time.Duration
}

// ticket identifies an answer and the level at which it was submitted.
type ticket struct{ number, epoch int }

// load is the current work of an engine.
type load struct{ running, queued, sequences int }

// level returns the current number of steps down the ladder.
func (s *shedding) level() int { return s.state.Level }

// decide makes at most one decision per decisionInterval. levels is the number of variants below the usual one, and
// busy is the load of the variant that serves requests now. decide returns the level and whether it changed.
func (s *shedding) decide(auto Auto, levels int, busy load, now time.Time) (level int, changed bool) {
	before := s.state.Level
	if now.Sub(s.decided) >= decisionInterval || before > levels {
		s.decided = now
		s.state = auto.Policy.Next(s.state, s.seen(busy, now), auto.Limits, levels, now)
	}
	if s.state.Level != before {
		s.epoch++
		s.waiting, s.ttft, s.itl, s.service = nil, nil, nil, nil
	}
	return s.state.Level, s.state.Level != before
}

// seen summarizes the observations of the last slo.Window and drops older ones.
func (s *shedding) seen(busy load, now time.Time) (seen slo.Seen) {
	s.ttft, seen.TTFT = recent(s.ttft, now)
	s.itl, seen.ITL = recent(s.itl, now)
	seen.Answers = len(s.ttft) + len(s.itl)
	for _, since := range s.waiting {
		seen.Waiting = max(seen.Waiting, now.Sub(since))
	}
	if n := len(s.service); n > 0 {
		var sum time.Duration
		for _, d := range s.service {
			sum += d
		}
		seen.Expected = slo.Wait(busy.running, busy.queued, busy.sequences, sum/time.Duration(n))
	}
	return seen
}

// recent returns the observations of the last slo.Window and their 90th percentile, which is 0 if there are none.
func recent(all []timed, now time.Time) ([]timed, time.Duration) {
	first := slices.IndexFunc(all, func(t timed) bool { return now.Sub(t.at) <= slo.Window })
	if first < 0 {
		return all[:0], 0
	}
	all = slices.Delete(all, 0, first)
	values := make([]time.Duration, len(all))
	for i, t := range all {
		values[i] = t.value
	}
	slices.Sort(values)
	return all, values[len(values)*9/10]
}

// begin records a submitted answer.
func (s *shedding) begin(now time.Time) ticket {
	if s.waiting == nil {
		s.waiting = map[int]time.Time{}
	}
	s.tickets++
	s.waiting[s.tickets] = now
	return ticket{s.tickets, s.epoch}
}

// first records the first token of an answer and the time to it.
func (s *shedding) first(t ticket, now time.Time, ttft time.Duration) {
	delete(s.waiting, t.number)
	if t.epoch == s.epoch && len(s.ttft) < maxSeen {
		s.ttft = append(s.ttft, timed{now, ttft})
	}
}

// end records the end of an answer, its inter-token latency and how long it held its sequence. 0 means unknown.
func (s *shedding) end(t ticket, now time.Time, itl, service time.Duration) {
	delete(s.waiting, t.number)
	if t.epoch != s.epoch {
		return
	}
	if itl > 0 && len(s.itl) < maxSeen {
		s.itl = append(s.itl, timed{now, itl})
	}
	if service > 0 {
		s.service = append(s.service, service)
		s.service = s.service[max(0, len(s.service)-maxService):]
	}
}
