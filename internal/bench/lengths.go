package bench

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
)

// MaxLength bounds a length in words or tokens.
const MaxLength = 1 << 17

// Lengths is a distribution of lengths, in words of a prompt or tokens of an answer: one of "200" (always),
// "50-400" (uniform, both ends included), "normal:200,50" (mean and standard deviation) and "lognormal:200,0.8" (median,
// and standard deviation of the logarithm). A drawn length is at least 1 and at most MaxLength.
type Lengths struct {
	kind string
	a, b float64
}

// Exactly returns the distribution that always draws n.
func Exactly(n int) Lengths { return Lengths{kind: "fixed", a: float64(n)} }

// ParseLengths parses the forms that Lengths lists.
func ParseLengths(text string) (Lengths, error) {
	fault := fmt.Errorf("%q is not a distribution of lengths; it must be N, MIN-MAX, normal:MEAN,SD or lognormal:MEDIAN,SIGMA, with lengths from 1 to %d", text, MaxLength)
	kind, numbers, named := strings.Cut(text, ":")
	separator := ","
	if !named {
		kind, numbers, separator = "uniform", text, "-"
		if n, err := strconv.Atoi(text); err == nil {
			if n < 1 || n > MaxLength {
				return Lengths{}, fault
			}
			return Exactly(n), nil
		}
	}
	first, second, ok := strings.Cut(numbers, separator)
	a, errA := strconv.ParseFloat(first, 64)
	b, errB := strconv.ParseFloat(second, 64)
	if !ok || errA != nil || errB != nil || !(a >= 1 && a <= MaxLength) || !(b >= 0 && b <= MaxLength) {
		return Lengths{}, fault
	}
	switch kind {
	case "uniform":
		if a != math.Trunc(a) || b != math.Trunc(b) || b < a {
			return Lengths{}, fault
		}
	case "normal":
	case "lognormal":
		if b > 5 {
			return Lengths{}, fault
		}
	default:
		return Lengths{}, fault
	}
	return Lengths{kind: kind, a: a, b: b}, nil
}

// String returns the form that ParseLengths parses.
func (l Lengths) String() string {
	switch l.kind {
	case "fixed":
		return fmt.Sprintf("%g", l.a)
	case "uniform":
		return fmt.Sprintf("%g-%g", l.a, l.b)
	default:
		return fmt.Sprintf("%s:%g,%g", l.kind, l.a, l.b)
	}
}

// Draw returns a random length.
func (l Lengths) Draw(chance *rand.Rand) int {
	n := l.a
	switch l.kind {
	case "uniform":
		n += math.Floor(chance.Float64() * (l.b - l.a + 1))
	case "normal":
		n += l.b * chance.NormFloat64()
	case "lognormal":
		n *= math.Exp(l.b * chance.NormFloat64())
	}
	return int(min(max(math.Round(n), 1), MaxLength))
}
