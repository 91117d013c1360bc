package llamacpp

import "testing"

func TestSpinFollowsTheMachine(t *testing.T) {
	var s spin
	looks := func(n, running int) (count int) {
		for range n {
			count = s.observe(running, 2)
		}
		return count
	}
	for _, step := range []struct {
		name       string
		n, running int
		want       int
	}{
		{"one look is not enough", 1, 3, shortSpin},
		{"a free machine", 10, 3, longSpin},
		{"short work of others", 1, 5, longSpin},
		{"free again", 10, 2, longSpin},
		{"other work", 4, 4, shortSpin},
		{"a pause of it", 1, 3, shortSpin},
		{"much other work", 10, 11, shortSpin},
		{"free at last", 10, 1, longSpin},
		{"nothing known", 10, 0, shortSpin},
	} {
		if got := looks(step.n, step.running); got != step.want {
			t.Errorf("%s: %d, want %d", step.name, got, step.want)
		}
	}
}

func TestRunningThreads(t *testing.T) {
	for text, want := range map[string]int{
		"0.20 0.18 0.12 3/80 11206\n": 3,
		"0.20 0.18 0.12 12/80 1":      12,
		"0.00 0.00 0.00 0/0 0":        0,
		"0.20 0.18 0.12":              0,
		"0.20 0.18 0.12 x/80 11206":   0,
		"":                            0,
	} {
		if got := runningThreads([]byte(text)); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}
