package gbnf

import (
	"fmt"
	"math/big"
	"strconv"
	"strings"
)

// maxDigits is how many digits an unbounded integer may have before its point; a bound must have no more.
const maxDigits = 16

// number writes numbers, within bounds without exponents.
func (c *converter) number(where string, s *value, whole bool) (string, error) {
	low, lowOpen, err := limit(where, s, "minimum", "exclusiveMinimum")
	if err != nil {
		return "", err
	}
	high, highOpen, err := limit(where, s, "maximum", "exclusiveMaximum")
	if err != nil {
		return "", err
	}
	if low == nil && high == nil {
		if whole {
			return c.use("integer"), nil
		}
		return c.use("number"), nil
	}
	edge := new(big.Rat).SetInt(new(big.Int).Sub(new(big.Int).Exp(big.NewInt(10), big.NewInt(maxDigits), nil), big.NewInt(1)))
	if low == nil {
		low = new(big.Rat).Neg(edge)
	}
	if high == nil {
		high = edge
	}
	for _, bound := range []*big.Rat{low, high} {
		if new(big.Rat).Abs(bound).Cmp(edge) > 0 {
			return "", errorf(where, "bounds of more than %d digits are not supported", maxDigits)
		}
	}
	from, to := ceiling(low), floor(high)
	ways := integers(from+boolInt(lowOpen && low.IsInt()), to-boolInt(highOpen && high.IsInt()))
	if !whole {
		// A whole number and a fraction that is not 0 lie strictly between two integers.
		const fraction = ` "." [0-9]{0,15} [1-9]`
		for _, way := range integers(max(from, 0), to-1) {
			ways = append(ways, "("+way+")"+fraction)
		}
		for _, way := range integers(max(-to, 0), -from-1) {
			ways = append(ways, `"-" (`+way+")"+fraction)
		}
	}
	if len(ways) == 0 {
		return "", errorf(where, "no number that can be held lies within its bounds")
	}
	return c.rule(strings.Join(ways, " | ")), nil
}

func boolInt(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// limit reads a bound that is given in one of two ways; nil when in none.
func limit(where string, s *value, inclusive, exclusive string) (bound *big.Rat, open bool, err error) {
	closed, strict := s.get(inclusive), s.get(exclusive)
	v := closed
	switch {
	case closed != nil && strict != nil:
		return nil, false, errorf(where, "%s beside %s is not supported", inclusive, exclusive)
	case strict != nil:
		v, open = strict, true
	case closed == nil:
		return nil, false, nil
	}
	// SetString takes an exponent at its word: 1e999999999 would take all memory.
	if v.kind == '0' && len(v.text) <= 40 && !strings.ContainsAny(v.text, "eE") {
		if r, ok := new(big.Rat).SetString(v.text); ok {
			return r, open, nil
		}
	}
	return nil, false, errorf(where, "a bound is a number without an exponent, of at most 40 characters")
}

func floor(r *big.Rat) int64 {
	q := new(big.Int)
	q.Div(r.Num(), r.Denom()) // Euclidean: rounds down for a positive denominator
	return q.Int64()
}

func ceiling(r *big.Rat) int64 { return -floor(new(big.Rat).Neg(r)) }

// integers lists grammars for the integers of [from, to], without leading zeros.
func integers(from, to int64) []string {
	if from > to {
		return nil
	}
	var ways []string
	if from < 0 {
		for _, way := range integers(max(-to, 1), -from) {
			ways = append(ways, `"-" `+way)
		}
		from = 0
	}
	for from <= to {
		// As many numbers as have the digits of from.
		text := strconv.FormatInt(from, 10)
		last := min(to, tenTo(len(text))-1)
		ways = append(ways, sameLength(text, strconv.FormatInt(last, 10))...)
		from = last + 1
	}
	return ways
}

func tenTo(n int) int64 {
	p := int64(1)
	for range n {
		p *= 10
	}
	return p
}

// sameLength lists grammars for the digits from low to high, both of one length.
func sameLength(low, high string) []string {
	n := len(low)
	free := func(digits int) string {
		if digits == 0 {
			return ""
		}
		return fmt.Sprintf(" [0-9]{%d}", digits)
	}
	if n == 1 {
		return []string{"[" + low + "-" + high + "]"}
	}
	if strings.Trim(low[1:], "0") == "" && strings.Trim(high[1:], "9") == "" {
		return []string{"[" + low[:1] + "-" + high[:1] + "]" + free(n-1)}
	}
	if low[0] == high[0] {
		return prefixed(low[0], sameLength(low[1:], high[1:]))
	}
	ways := prefixed(low[0], sameLength(low[1:], strings.Repeat("9", n-1)))
	if low[0]+1 <= high[0]-1 {
		ways = append(ways, "["+string(low[0]+1)+"-"+string(high[0]-1)+"]"+free(n-1))
	}
	return append(ways, prefixed(high[0], sameLength(strings.Repeat("0", n-1), high[1:]))...)
}

func prefixed(digit byte, ways []string) []string {
	out := make([]string, len(ways))
	for i, way := range ways {
		out[i] = `"` + string(digit) + `" ` + way
	}
	return out
}
