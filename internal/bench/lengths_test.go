package bench

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestLengths(t *testing.T) {
	for text, bounds := range map[string][3]float64{ // least, most, mean
		"200": {200, 200, 200}, "50-150": {50, 150, 100}, "7-7": {7, 7, 7}, "normal:100,10": {30, 170, 100}, "normal:100,0": {100, 100, 100},
		"lognormal:100,0.5": {5, 1500, 100 * math.Exp(0.125)}, "normal:1,100": {1, 700, 41},
	} {
		l, err := ParseLengths(text)
		if err != nil || l.String() != text {
			t.Errorf("ParseLengths(%s) = %v, %v", text, l, err)
			continue
		}
		chance, sum := rand.New(rand.NewPCG(1, 2)), 0.0
		for range 20000 {
			n := float64(l.Draw(chance))
			if n < bounds[0] || n > bounds[1] {
				t.Fatalf("%s drew %v, want %v to %v", text, n, bounds[0], bounds[1])
			}
			sum += n
		}
		if mean := sum / 20000; math.Abs(mean-bounds[2]) > 0.03*bounds[2] { // the seed makes the mean the same on every machine
			t.Errorf("%s has mean %v, want about %v", text, mean, bounds[2])
		}
	}
	for _, text := range []string{"", "0", "-1", "1.5", "5-", "-5", "9-5", "1-9999999", "9999999", "normal:5", "normal:NaN,1", "normal:5,Inf", "lognormal:5,9", "poisson:5,1", "1.5-3", "x"} {
		if l, err := ParseLengths(text); err == nil {
			t.Errorf("ParseLengths(%q) = %v, want it refused", text, l)
		}
	}
}

func FuzzParseLengths(f *testing.F) {
	for _, text := range []string{"200", "50-400", "normal:200,50", "lognormal:200,0.8"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		l, err := ParseLengths(text)
		if err != nil {
			return
		}
		chance := rand.New(rand.NewPCG(1, 2))
		for range 20 {
			if n := l.Draw(chance); n < 1 || n > MaxLength {
				t.Fatalf("%q drew %d", text, n)
			}
		}
	})
}
