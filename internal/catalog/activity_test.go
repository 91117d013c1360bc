package catalog

import (
	"slices"
	"testing"
	"time"
)

func TestActivity(t *testing.T) {
	for name, c := range map[string]struct {
		activity     activity
		inUse, quiet bool
	}{
		"nothing runs":          {activity{begun: 7}, false, true},
		"a request runs":        {activity{requests: 1}, true, false},
		"a measurement runs":    {activity{measuring: 1}, true, true},
		"a build runs or waits": {activity{making: 1}, false, false},
		"a request and a build": {activity{requests: 1, making: 1}, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.activity.inUse(); got != c.inUse {
				t.Errorf("inUse() = %t, want %t", got, c.inUse)
			}
			if got := c.activity.quiet(); got != c.quiet {
				t.Errorf("quiet() = %t, want %t", got, c.quiet)
			}
		})
	}
}

// A request or build disturbs a measurement even if it has already ended.
func TestUndisturbed(t *testing.T) {
	for name, c := range map[string]struct {
		happens func(*activity)
		want    bool
	}{
		"nothing":       {func(*activity) {}, true},
		"measurement":   {func(a *activity) { a.measuring++; a.measuring-- }, true},
		"short request": {func(a *activity) { a.request(); a.requests-- }, false},
		"build":         {func(a *activity) { a.build() }, false},
	} {
		t.Run(name, func(t *testing.T) {
			a := activity{begun: 3}
			begun := a.begun
			if c.happens(&a); a.undisturbed(begun) != c.want {
				t.Errorf("undisturbed = %t, want %t", !c.want, c.want)
			}
		})
	}
}

func TestBackoff(t *testing.T) {
	b := backoff{next: 2 * time.Second, most: 15 * time.Second}
	var got []time.Duration
	for range 6 {
		got = append(got, b.pause()/time.Second)
	}
	if want := []time.Duration{2, 4, 8, 15, 15, 15}; !slices.Equal(got, want) {
		t.Errorf("pauses = %v s, want %v s", got, want)
	}
}
