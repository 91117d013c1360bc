package catalog

import (
	"slices"
	"testing"
	"time"
)

// at0 returns the time a number of seconds after an arbitrary moment.
func at0(seconds int) time.Time { return time.Unix(int64(1000+seconds), 0) }

func TestFits(t *testing.T) {
	two := []resident{{digest: "a", bytes: 40}, {digest: "b", bytes: 50}}
	for name, c := range map[string]struct {
		limits    Limits
		residents []resident
		bytes     int64
		want      bool
	}{
		"alone beyond the budget":          {Limits{MaxLoaded: 1, MemoryBudget: 10}, nil, 100, true},
		"a place is left":                  {Limits{MaxLoaded: 3}, two, 60, true},
		"no place is left":                 {Limits{MaxLoaded: 2}, two, 60, false},
		"the budget is met":                {Limits{MaxLoaded: 9, MemoryBudget: 100}, two, 10, true},
		"the budget is exceeded":           {Limits{MaxLoaded: 9, MemoryBudget: 100}, two, 11, false},
		"no limit is one place":            {Limits{}, two[:1], 1, false},
		"a stand-in takes no place":        {Limits{MaxLoaded: 1}, []resident{{digest: "dense", standIn: true}}, 1, true},
		"a stand-in counts for no bytes":   {Limits{MaxLoaded: 3, MemoryBudget: 100}, []resident{{bytes: 90, standIn: true}, {bytes: 40}}, 60, true},
		"engines in use count as any else": {Limits{MaxLoaded: 1}, []resident{{digest: "a", users: 1}}, 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.limits.fits(c.residents, c.bytes); got != c.want {
				t.Errorf("%+v.fits(%+v, %d) = %t, want %t", c.limits, c.residents, c.bytes, got, c.want)
			}
		})
	}
}

func TestLeastRecent(t *testing.T) {
	for name, c := range map[string]struct {
		residents []resident
		want      string // "" if there is none
	}{
		"nothing is loaded":    {nil, ""},
		"the oldest":           {[]resident{{digest: "a", used: at0(2)}, {digest: "b", used: at0(1)}, {digest: "c", used: at0(3)}}, "b"},
		"never one in use":     {[]resident{{digest: "a", used: at0(2)}, {digest: "b", used: at0(1), users: 1}}, "a"},
		"never a fixed one":    {[]resident{{digest: "a", used: at0(2)}, {digest: "b", used: at0(1), fixed: true}}, "a"},
		"never a stand-in":     {[]resident{{digest: "a", used: at0(2)}, {digest: "b", used: at0(1), standIn: true}}, "a"},
		"ties go by digest":    {[]resident{{digest: "b", used: at0(1)}, {digest: "a", used: at0(1)}}, "a"},
		"all have to stay":     {[]resident{{digest: "a", users: 1}, {digest: "b", fixed: true}}, ""},
		"used last, but alone": {[]resident{{digest: "a", fixed: true}, {digest: "b", used: at0(9)}}, "b"},
	} {
		t.Run(name, func(t *testing.T) {
			if got, ok := leastRecent(c.residents); got != c.want || ok != (c.want != "") {
				t.Errorf("leastRecent(%+v) = %q, %t, want %q", c.residents, got, ok, c.want)
			}
		})
	}
}

func TestExpired(t *testing.T) {
	limits := Limits{IdleTimeout: 10 * time.Second}
	residents := []resident{
		{digest: "late", used: at0(1)}, {digest: "just", used: at0(10)}, {digest: "not yet", used: at0(11)},
		{digest: "in use", used: at0(0), users: 1}, {digest: "fixed", used: at0(0), fixed: true}, {digest: "dense", used: at0(0), standIn: true},
	}
	if got, want := limits.expired(residents, at0(20)), []string{"just", "late"}; !slices.Equal(got, want) {
		t.Errorf("expired = %v, want %v", got, want)
	}
}

func TestHasPlace(t *testing.T) {
	for name, c := range map[string]struct {
		maxLoaded int
		reserved  []string
		want      bool
	}{
		"nothing is reserved":            {1, nil, true},
		"all places are reserved":        {2, []string{"a", "b"}, false},
		"it is one of the reserved":      {2, []string{"a", "x"}, true},
		"ratios with one file are one":   {2, []string{"a", "a"}, true},
		"the least number is one":        {0, []string{"a"}, false},
		"more is reserved than there is": {1, []string{"a", "b"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := (Limits{MaxLoaded: c.maxLoaded}).hasPlace(c.reserved, "x"); got != c.want {
				t.Errorf("hasPlace(%v) with %d places = %t, want %t", c.reserved, c.maxLoaded, got, c.want)
			}
		})
	}
}

func TestLedger(t *testing.T) {
	l := newLedger(0.2)
	for ratio, digest := range map[float64]string{0: "dense", 0.2: "own", 0.3: "x", 0.3001: "x", 0.4: "y"} {
		l.note(ratio, digest)
	}
	limits := Limits{MaxMade: 2}
	if n := l.extra(); n != 2 || limits.mayMake(n) || !limits.mayMake(1) || !(Limits{}).mayMake(n) {
		t.Errorf("%d extra files, mayMake %t; want 2 besides the dense and the startup variant, and no third", n, limits.mayMake(n))
	}
	for ratio, want := range map[float64]bool{0: true, 0.2: true, 0.3: true, 0.5: false} {
		if got := l.free(ratio); got != want {
			t.Errorf("free(%v) = %t, want %t", ratio, got, want)
		}
	}
	if l.forget(0.3); l.digest(0.3) != "" || l.extra() != 2 {
		t.Errorf("after forget(0.3): %d extra files, want 2, because 0.3001 has the same file", l.extra())
	}
	if l.forgetFile("x"); l.digest(0.3001) != "" || l.extra() != 1 {
		t.Errorf("after forgetFile(x): %d extra files, want 1", l.extra())
	}
}
