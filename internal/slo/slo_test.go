package slo

import (
	"slices"
	"testing"
	"time"
)

const ms = time.Millisecond

func TestChoose(t *testing.T) {
	measured := []Candidate{
		{Ratio: 0.4, TTFT: 100 * ms, ITL: 4 * ms, Measured: true},
		{Ratio: 0, TTFT: 300 * ms, ITL: 8 * ms, Measured: true},
		{Ratio: 0.2, TTFT: 200 * ms, ITL: 6 * ms, Measured: true},
		{Ratio: 0.1}, // not measured: never chosen
	}
	for limits, want := range map[Limits]float64{
		{}:                               0,
		{TTFT: time.Second}:              0,
		{TTFT: 300 * ms, ITL: 8 * ms}:    0, // exactly at the limit
		{TTFT: 299 * ms}:                 0.2,
		{TTFT: time.Second, ITL: 7 * ms}: 0.2,
		{TTFT: 150 * ms}:                 0.4,
		{ITL: 1 * ms}:                    0.4, // none is within the limit: the fastest
	} {
		if got, ok := Choose(measured, limits); got != want || !ok {
			t.Errorf("Choose(%+v) = %v, %v, want %v", limits, got, ok, want)
		}
	}
	// A variant that is no faster than a less pruned one is never chosen, even if no variant is within the limits.
	measured[0].TTFT, measured[0].ITL = 250*ms, 6*ms
	for limits, want := range map[Limits]float64{{ITL: 1 * ms}: 0.2, {TTFT: 220 * ms}: 0.2} {
		if got, ok := Choose(measured, limits); got != want || !ok {
			t.Errorf("Choose(%+v) with a slow small variant = %v, %v, want %v", limits, got, ok, want)
		}
	}
	if got, ok := Choose([]Candidate{{Ratio: 0.2}}, Limits{}); ok {
		t.Errorf("Choose of unmeasured candidates = %v", got)
	}
}

// history passes one observation per second and returns the levels.
func history(p Policy, state *State, levels int, from time.Time, seen ...Seen) (out []int) {
	for i, s := range seen {
		*state = p.Next(*state, s, Limits{TTFT: 1000 * ms, ITL: 50 * ms}, levels, from.Add(time.Duration(i)*time.Second))
		out = append(out, state.Level)
	}
	return out
}

func repeat(n int, s Seen) []Seen {
	out := make([]Seen, n)
	for i := range out {
		out[i] = s
	}
	return out
}

func last(v []int) int { return v[len(v)-1] }

func TestShedding(t *testing.T) {
	p, start := DefaultPolicy(), time.Unix(1000, 0)
	good, between, late := Seen{TTFT: 300 * ms}, Seen{TTFT: 600 * ms}, Seen{TTFT: 800 * ms}
	var s State
	if got := last(history(p, &s, 2, start, good, between, good)); got != 0 {
		t.Errorf("level without lateness = %d, want 0", got)
	}
	if got := history(p, &s, 2, start.Add(10*time.Second), late, late, late, late); got[0] != 1 || got[1] != 2 || got[3] != 2 {
		t.Errorf("levels under load = %v, want a step at once, one after Settle, and then no more", got)
	}
	// Between the thresholds the level never changes: this is the hysteresis.
	if got := last(history(p, &s, 2, start.Add(20*time.Second), repeat(1000, between)...)); got != 2 {
		t.Errorf("level between the thresholds = %d, want 2 kept", got)
	}
	levels := history(p, &s, 2, start.Add(2000*time.Second), repeat(30, good)...)
	if levels[9] != 2 || levels[10] != 1 || levels[19] != 1 || levels[20] != 0 {
		t.Errorf("levels in calm = %v, want a step up after each ten seconds", levels)
	}
}

func TestOtherSignals(t *testing.T) {
	p := DefaultPolicy()
	for name, seen := range map[string]Seen{"tokens": {ITL: 40 * ms}, "waiting": {Waiting: 800 * ms}} {
		var s State
		if got := last(history(p, &s, 1, time.Unix(1000, 0), seen)); got != 1 {
			t.Errorf("%s late: level %d, want 1", name, got)
		}
	}
	var s State
	s = p.Next(s, Seen{TTFT: time.Hour}, Limits{ITL: 50 * ms}, 1, time.Unix(1000, 0))
	if s.Level != 0 {
		t.Error("a latency without a limit led to shedding")
	}
	s = p.Next(State{Level: 5}, Seen{}, Limits{TTFT: time.Second}, 2, time.Unix(1000, 0))
	if s.Level != 2 {
		t.Errorf("level %d of 2, want it bounded", s.Level)
	}
}

// With a load that only the smaller variant can serve, each failed step up delays the next one further.
func TestSheddingDoesNotOscillate(t *testing.T) {
	p := DefaultPolicy()
	var s State
	tries, seconds := 0, 3600
	at := time.Unix(1000, 0)
	for range seconds {
		seen := Seen{TTFT: 100 * ms}
		if s.Level == 0 {
			seen.TTFT = 2000 * ms
		}
		before := s.Level
		s = p.Next(s, seen, Limits{TTFT: 1000 * ms}, 1, at)
		if s.Level < before {
			tries++
		}
		at = at.Add(time.Second)
	}
	if tries < 3 || tries > 20 {
		t.Errorf("%d steps up in an hour, want a few with growing intervals", tries)
	}
	if s.Patience > p.MostCalm {
		t.Errorf("patience %v, want at most %v", s.Patience, p.MostCalm)
	}
}

// TestSlowQueue covers an overload that takes half a minute to show. Each step up must wait longer.
func TestSlowQueue(t *testing.T) {
	p, at := DefaultPolicy(), time.Unix(1000, 0)
	var s State
	var tries []int
	since := 0
	for second := range 3600 {
		seen := Seen{TTFT: 100 * ms}
		if since++; s.Level == 0 && since > 30 {
			seen.Waiting = 900 * ms
		}
		before := s.Level
		s = p.Next(s, seen, Limits{TTFT: 1000 * ms}, 1, at)
		if s.Level != before {
			since = 0
		}
		if s.Level < before {
			tries = append(tries, second)
		}
		at = at.Add(time.Second)
	}
	if len(tries) < 3 || len(tries) > 20 {
		t.Errorf("%d steps up in an hour, want a few with growing intervals: %v", len(tries), tries)
	}
}

// A queue that exceeds the limit by itself leads to the smallest variant. One that only comes close leads to one step down.
func TestLongQueue(t *testing.T) {
	for expected, want := range map[time.Duration]int{500 * ms: 0, 700 * ms: 1, 1000 * ms: 1, 1001 * ms: 3} {
		s := DefaultPolicy().Next(State{}, Seen{Expected: expected}, Limits{TTFT: 1000 * ms}, 3, time.Unix(1000, 0))
		if s.Level != want {
			t.Errorf("a queue of %v: level %d, want %d", expected, s.Level, want)
		}
	}
}

func TestWait(t *testing.T) {
	for _, c := range []struct {
		running, queued, sequences int
		want                       time.Duration
	}{{3, 0, 4, 0}, {4, 0, 4, 250 * ms}, {4, 3, 4, 1000 * ms}, {0, 0, 0, 0}} {
		if got := Wait(c.running, c.queued, c.sequences, time.Second); got != c.want {
			t.Errorf("Wait(%d, %d, %d) = %v, want %v", c.running, c.queued, c.sequences, got, c.want)
		}
	}
}

func TestLadder(t *testing.T) {
	if got, want := Ladder([]float64{0.4, 0, 0.2, 0.2}, 0.3), []float64{0, 0.2, 0.3, 0.4}; !slices.Equal(got, want) {
		t.Errorf("Ladder = %v, want %v", got, want)
	}
}
