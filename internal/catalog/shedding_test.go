package catalog

import (
	"slices"
	"testing"
	"time"

	"prunellm/internal/slo"
)

const ms = time.Millisecond

// limited sheds at a TTFT of 300 ms and an inter-token latency of 60 ms.
var limited = Auto{Limits: slo.Limits{TTFT: 500 * ms, ITL: 100 * ms}, Shed: true, Policy: slo.DefaultPolicy()}

// Each kind of observation can move requests down. Without load the level does not change.
func TestSheddingDecides(t *testing.T) {
	for name, c := range map[string]struct {
		observe func(*shedding)
		busy    load
		want    int
	}{
		"nothing seen":                {func(*shedding) {}, load{}, 0},
		"a fast answer":               {func(s *shedding) { a := s.begin(at0(0)); s.first(a, at0(0), 100*ms); s.end(a, at0(0), 10*ms, 50*ms) }, load{}, 0},
		"a slow first token":          {func(s *shedding) { s.first(s.begin(at0(0)), at0(0), 400*ms) }, load{}, 1},
		"slow tokens":                 {func(s *shedding) { s.end(s.begin(at0(0)), at0(0), 80*ms, 0) }, load{}, 1},
		"a request that waits":        {func(s *shedding) { s.begin(at0(1).Add(-400 * ms)) }, load{}, 1},
		"a wait beyond the limit":     {func(s *shedding) { s.begin(at0(0)) }, load{}, 2},
		"a queue":                     {func(s *shedding) { s.end(s.begin(at0(0)), at0(0), 10*ms, 400*ms) }, load{running: 2, queued: 1, sequences: 2}, 1},
		"a queue nothing is known of": {func(*shedding) {}, load{running: 2, queued: 9, sequences: 2}, 0},
		"an abandoned answer":         {func(s *shedding) { s.end(s.begin(at0(0)), at0(0), 0, 0) }, load{}, 0},
		"an old observation":          {func(s *shedding) { s.first(s.begin(at0(-9)), at0(-9), 400*ms) }, load{}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := &shedding{}
			c.observe(s)
			level, changed := s.decide(limited, 2, c.busy, at0(1))
			if level != c.want || changed != (c.want > 0) {
				t.Errorf("decide = %d, %t, want %d", level, changed, c.want)
			}
		})
	}
}

// Observations of the previous variant do not count after a change.
func TestSheddingForgetsTheVariantBefore(t *testing.T) {
	s := &shedding{}
	old := s.begin(at0(0))
	if level, _ := s.decide(limited, 2, load{}, at0(0).Add(400*ms)); level != 1 {
		t.Fatalf("level = %d, want 1", level)
	}
	s.first(old, at0(1), time.Second)
	s.end(old, at0(1), time.Second, time.Second)
	if level, changed := s.decide(limited, 2, load{running: 1, sequences: 1}, at0(3)); level != 1 || changed {
		t.Errorf("level after answers of the previous variant = %d, want 1", level)
	}
}

// Decisions keep their interval, but a ladder that becomes shorter takes effect immediately.
func TestSheddingInterval(t *testing.T) {
	s := &shedding{}
	s.decide(limited, 2, load{}, at0(1))
	s.begin(at0(0))
	if level, _ := s.decide(limited, 2, load{}, at0(1).Add(decisionInterval-1)); level != 0 {
		t.Errorf("level within the interval = %d, want 0", level)
	}
	if level, _ := s.decide(limited, 2, load{}, at0(1).Add(decisionInterval)); level != 2 {
		t.Errorf("level after the interval = %d, want 2", level)
	}
	if level, changed := s.decide(limited, 1, load{}, at0(1).Add(decisionInterval+1)); level != 1 || !changed {
		t.Errorf("level with one variant below = %d, %t, want 1", level, changed)
	}
}

func TestRecent(t *testing.T) {
	var all []timed
	for i := range 20 {
		all = append(all, timed{at0(i / 2), time.Duration(i) * ms})
	}
	kept, p90 := recent(all, at0(10))
	if len(kept) != 10 || p90 != 19*ms {
		t.Errorf("recent keeps %d observations with a 90th percentile of %v, want 10 and 19ms", len(kept), p90)
	}
	if kept, p90 := recent(kept, at0(99)); len(kept) != 0 || p90 != 0 {
		t.Errorf("recent keeps %d observations with a 90th percentile of %v, want none", len(kept), p90)
	}
}

func TestStepsDown(t *testing.T) {
	loaded := []slo.Candidate{{Ratio: 0.4}, {Ratio: 0}, {Ratio: 0.2}}
	for usual, want := range map[float64][]float64{0: {0, 0.2, 0.4}, 0.2: {0.2, 0.4}, 0.4: {0.4}, 0.3: {0.3, 0.4}} {
		if got := stepsDown(usual, loaded); !slices.Equal(got, want) {
			t.Errorf("stepsDown(%v) = %v, want %v", usual, got, want)
		}
	}
}
