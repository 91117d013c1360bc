package gbnf

import (
	"cmp"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
)

const (
	maxWhole    = 1e19 - 1 // the largest bound of an integer, of 19 digits; without a bound, integers are int64
	maxFraction = 20       // digits after the point in an answer
	maxEdge     = 30       // digits after the point of a bound; further ones are rounded
	maxExponent = 299      // largest power of ten in an answer, with which any mantissa fits a float64
	maxBound    = 400      // largest power of ten in a bound
	exactDigits = 15       // a float64, as which clients read numbers, distinguishes all decimals of this many digits
)

// number returns a rule for integers, or for decimals with and without an exponent, within bounds.
func (c *converter) number(where string, s *value, whole bool) (string, error) {
	low, lowOpen, err := limit(where, s, "minimum", "exclusiveMinimum", 1)
	if err != nil {
		return "", err
	}
	high, highOpen, err := limit(where, s, "maximum", "exclusiveMaximum", -1)
	if err != nil {
		return "", err
	}
	switch {
	case low == nil && high == nil && whole:
		return c.use("integer"), nil
	case low == nil && high == nil:
		return c.use("number"), nil
	}
	var ways []string
	if whole {
		ways = span{cmp.Or(low, int64s.low), cmp.Or(high, int64s.high), lowOpen, highOpen}.signed(span.integers)
	} else {
		ways = span{low, high, lowOpen, highOpen}.signed(span.numbers)
	}
	if len(ways) == 0 {
		return "", errorf(where, "no number of at most 19 digits lies within its bounds")
	}
	return c.rule(strings.Join(ways, " | ")), nil
}

// limit reads a bound that has two keywords, inclusive and exclusive. If both are set, it returns the stricter one: the larger
// for sign 1, the smaller for sign -1. It returns nil if neither is set.
func limit(where string, s *value, inclusive, exclusive string, sign int) (bound *big.Rat, open bool, err error) {
	for _, keyword := range []string{inclusive, exclusive} {
		v := s.get(keyword)
		if v == nil {
			continue
		}
		r, err := decimal(v)
		if err != nil {
			return nil, false, errorf(where+"/"+keyword, "%s", err)
		}
		if bound == nil || r.Cmp(bound)*sign >= 0 {
			bound, open = r, keyword == exclusive
		}
	}
	return bound, open, nil
}

// decimal reads a number. It checks the exponent first, because SetString of 1e999999999 would exhaust memory.
func decimal(v *value) (*big.Rat, error) {
	if v.kind == '0' && len(v.text) <= maxBound {
		_, exponent, _ := strings.Cut(strings.ToLower(v.text), "e")
		if e, err := strconv.Atoi(exponent); exponent == "" || err == nil && e >= -maxBound && e <= maxBound {
			if r, ok := new(big.Rat).SetString(v.text); ok {
				return r, nil
			}
		}
	}
	return nil, fmt.Errorf("must be a number, with an exponent from %d to %d if any", -maxBound, maxBound)
}

// span holds the numbers between two bounds. A nil bound means no limit; an open bound is excluded.
type span struct {
	low, high         *big.Rat
	lowOpen, highOpen bool
}

// int64s is the span of integers without bounds.
var int64s = span{low: new(big.Rat).SetInt64(math.MinInt64), high: new(big.Rat).SetInt64(math.MaxInt64)}

// signed returns grammars for the numbers of a span: for its part from 0 up, and with a minus sign for the mirror image of its
// part below 0.
func (s span) signed(ways func(span) []string) []string {
	zero := new(big.Rat)
	var out []string
	if s.low == nil || s.low.Sign() < 0 {
		below := span{low: zero, lowOpen: true, highOpen: s.lowOpen}
		if s.high != nil && s.high.Sign() < 0 {
			below.low, below.lowOpen = new(big.Rat).Neg(s.high), s.highOpen
		}
		if s.low != nil {
			below.high = new(big.Rat).Neg(s.low)
		}
		if negative := ways(below); len(negative) > 0 {
			out = append(out, `"-" `+either(negative))
		}
		s.low, s.lowOpen = zero, false
	}
	if s.high != nil && s.high.Sign() < 0 {
		return out
	}
	return append(out, ways(s)...)
}

// empty reports whether a span with two bounds contains no number.
func (s span) empty() bool {
	order := s.low.Cmp(s.high)
	return order > 0 || order == 0 && (s.lowOpen || s.highOpen)
}

// integers returns grammars for the integers of a span from 0 up.
func (s span) integers() []string {
	edge := new(big.Rat).SetInt(new(big.Int).SetUint64(maxWhole))
	if s.high == nil || s.high.Cmp(edge) > 0 {
		s.high, s.highOpen = edge, false
	}
	if s.empty() {
		return nil
	}
	from, part := split(s.low)
	if part != "" || s.lowOpen {
		from++
	}
	to, part := split(s.high)
	if part == "" && s.highOpen {
		if to == 0 {
			return nil
		}
		to--
	}
	return integers(from, to)
}

// numbers returns grammars for the numbers of a span from 0 up, as decimals and in scientific notation.
func (s span) numbers() []string {
	ways := s.decimals(s.room())
	room := maxFraction // of a mantissa
	if s.lowOpen && s.low.Sign() > 0 || s.highOpen && s.high != nil {
		room = exactDigits - 1
	}
	first, last := -maxExponent, maxExponent // the powers of ten whose multiples from 1 to 10 are all in the span
	scaled := func(exponent int, low, high bool) {
		part := span{low: big.NewRat(1, 1), high: big.NewRat(10, 1), highOpen: true}
		scale := tenTo(-exponent)
		if low {
			part.low, part.lowOpen = new(big.Rat).Mul(s.low, scale), s.lowOpen
		}
		if high {
			part.high, part.highOpen = new(big.Rat).Mul(s.high, scale), s.highOpen
		}
		if mantissas := part.decimals(room); len(mantissas) > 0 && exponent >= -maxExponent && exponent <= maxExponent {
			ways = append(ways, either(mantissas)+exponents(exponent, exponent))
		}
	}
	low, high := s.low.Sign() > 0, s.high != nil
	if high && s.high.Sign() == 0 {
		return ways
	}
	if low {
		first = decade(s.low) + 1
	}
	if high {
		last = decade(s.high) - 1
	}
	if low && high && first-1 == last+1 {
		scaled(last+1, true, true)
		return ways
	}
	if low {
		scaled(first-1, true, false)
	}
	if high {
		scaled(last+1, false, true)
	}
	if first, last = max(first, -maxExponent), min(last, maxExponent); first <= last {
		ways = append(ways, fmt.Sprintf(`[1-9] ("." [0-9]{1,%d})?`, room)+exponents(first, last))
	}
	return ways
}

// exponents returns a grammar for the exponents from first to last.
func exponents(first, last int) string {
	var ways []string
	if first < 0 {
		ways = append(ways, `"-" "0"? `+either(integers(uint64(max(-last, 1)), uint64(-first))))
	}
	if last >= 0 {
		ways = append(ways, `"+"? "0"? `+either(integers(uint64(max(first, 0)), uint64(last))))
	}
	return " [eE] " + either(ways)
}

// decade returns the exponent of the largest power of ten that is at most r, which is positive.
func decade(r *big.Rat) int {
	exponent := len(r.Num().String()) - len(r.Denom().String())
	if tenTo(exponent).Cmp(r) > 0 {
		exponent--
	}
	return exponent
}

func tenTo(exponent int) *big.Rat {
	power := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(max(exponent, -exponent))), nil)
	if exponent < 0 {
		return new(big.Rat).SetFrac(big.NewInt(1), power)
	}
	return new(big.Rat).SetInt(power)
}

// room returns the maximum number of digits of a fraction. With an open bound it is smaller: a client could read a fraction
// longer than exactDigits as the bound itself.
func (s span) room() int {
	digits := maxFraction
	for _, bound := range []struct {
		*big.Rat
		open bool
	}{{s.low, s.lowOpen}, {s.high, s.highOpen}} {
		if bound.open && bound.Rat != nil && bound.Sign() > 0 {
			digits = min(digits, max(exactDigits-1-decade(bound.Rat), 1))
		}
	}
	return digits
}

// decimals returns grammars for the numbers of a span from 0 up without exponents. A fraction has at most room digits, or one
// more than the bounds have.
func (s span) decimals(room int) []string {
	if edge := new(big.Rat).SetInt(new(big.Int).SetUint64(maxWhole)); s.high == nil || s.high.Cmp(edge) > 0 {
		s.high, s.highOpen = edge, false
	}
	s = s.rounded()
	if s.empty() {
		return nil
	}
	from, least := split(s.low)
	to, most := split(s.high)
	room = max(room, len(least)+1, len(most)+1)
	if from == to {
		return []string{fraction(from, between(least, most, s.lowOpen, s.highOpen, room))}
	}
	var ways []string
	if least != "" || s.lowOpen {
		ways = append(ways, fraction(from, atLeast(least, s.lowOpen, room)))
		from++
	}
	if most != "" || !s.highOpen {
		ways = append(ways, fraction(to, atMost(most, s.highOpen, room)))
	}
	if whole := integers(from, to-1); len(whole) > 0 {
		ways = append(ways, fmt.Sprintf(`%s ("." [0-9]{1,%d})?`, either(whole), room))
	}
	return ways
}

// rounded narrows a span to bounds with at most maxEdge decimals.
func (s span) rounded() span {
	scale := tenTo(maxEdge)
	narrow := func(r *big.Rat, up bool, open *bool) *big.Rat {
		scaled := new(big.Rat).Mul(r, scale)
		if scaled.IsInt() {
			return r
		}
		*open = false
		units := new(big.Int).Quo(scaled.Num(), scaled.Denom())
		if up {
			units.Add(units, big.NewInt(1))
		}
		return new(big.Rat).Quo(new(big.Rat).SetInt(units), scale)
	}
	s.low, s.high = narrow(s.low, true, &s.lowOpen), narrow(s.high, false, &s.highOpen)
	return s
}

// split returns the integer part of a number, at most maxWhole, and the digits of its fraction, at most maxEdge and
// without trailing zeros.
func split(r *big.Rat) (whole uint64, part string) {
	text, part, _ := strings.Cut(r.FloatString(maxEdge), ".")
	whole, err := strconv.ParseUint(text, 10, 64)
	if err != nil || whole > maxWhole {
		return maxWhole, ""
	}
	return whole, strings.TrimRight(part, "0")
}
