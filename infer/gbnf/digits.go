package gbnf

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// This file writes grammars for runs of digits: integers between two bounds, and fractions between two bounds.

// fraction returns a grammar for an integer, a point and one of the continuations. If `""` is among these, the fraction is
// optional.
func fraction(whole uint64, ways []string) string {
	digits := `"` + strconv.FormatUint(whole, 10) + `"`
	rest := slices.DeleteFunc(slices.Clone(ways), func(way string) bool { return way == `""` })
	switch {
	case len(rest) == 0:
		return digits
	case len(rest) < len(ways):
		return digits + ` ("." ` + either(rest) + ")?"
	}
	return digits + ` "." ` + either(rest)
}

// free returns a grammar for at most that many digits.
func free(most int) string { return fmt.Sprintf("[0-9]{0,%d}", max(most, 0)) }

// atLeast returns grammars for a fraction's digits, or the rest of them, with a value of at least that of the given digits. If
// the bound is open, the value must be above it. room is the maximum number of digits.
func atLeast(least string, open bool, room int) []string {
	switch {
	case least == "" && open:
		return []string{fmt.Sprintf(`"0"{0,%d} [1-9] %s`, max(room-1, 0), free(room-1))}
	case least == "":
		return []string{free(room)}
	}
	ways := []string{digit(least[0], least[0]) + either(atLeast(least[1:], open, room-1))}
	if least[0] < '9' {
		ways = append(ways, digit(least[0]+1, '9')+free(room-1))
	}
	return ways
}

// atMost returns grammars for a fraction's digits, or the rest of them, with a value of at most that of the given digits. If
// the bound is open, the value must be below it. It returns none if there are no such digits.
func atMost(most string, open bool, room int) []string {
	switch {
	case most == "" && open:
		return nil
	case most == "":
		return []string{`""`, fmt.Sprintf(`"0"{1,%d}`, max(room, 1))}
	}
	ways := []string{`""`}
	if most[0] > '0' {
		ways = append(ways, digit('0', most[0]-1)+free(room-1))
	}
	if rest := atMost(most[1:], open, room-1); len(rest) > 0 {
		ways = append(ways, digit(most[0], most[0])+either(rest))
	}
	return ways
}

// between returns grammars for a fraction's digits, or the rest of them, between two bounds.
func between(least, most string, lowOpen, highOpen bool, room int) []string {
	if least == "" && !lowOpen {
		return atMost(most, highOpen, room)
	}
	if most == "" {
		return nil // no value is above 0 and not above it
	}
	low, rest := byte('0'), ""
	if least != "" {
		low, rest = least[0], least[1:]
	}
	if low == most[0] {
		return prefixed(low, between(rest, most[1:], lowOpen, highOpen, room-1))
	}
	ways := prefixed(low, atLeast(rest, lowOpen, room-1))
	if low+1 < most[0] {
		ways = append(ways, digit(low+1, most[0]-1)+free(room-1))
	}
	return append(ways, prefixed(most[0], atMost(most[1:], highOpen, room-1))...)
}

// integers returns grammars for the integers of [from, to] without leading zeros. to is at most maxWhole.
func integers(from, to uint64) []string {
	var ways []string
	if from == 0 {
		ways, from = append(ways, `"0"`), 1
	}
	for from <= to {
		text := strconv.FormatUint(from, 10)
		last := uint64(math.Pow10(len(text))) - 1 // the last number of as many digits
		if strings.Trim(text[1:], "0") == "" && text[0] == '1' && last <= to {
			// One grammar covers all numbers of this length and of longer ones up to the bound.
			most := len(text)
			for most < 19 && uint64(math.Pow10(most+1))-1 <= to {
				most++
			}
			ways = append(ways, fmt.Sprintf("[1-9] [0-9]{%d,%d}", len(text)-1, most-1))
			from = uint64(math.Pow10(most))
			continue
		}
		last = min(to, last)
		ways = append(ways, sameLength(text, strconv.FormatUint(last, 10))...)
		from = last + 1
	}
	return ways
}

// sameLength returns grammars for the numbers from low to high, which have the same number of digits.
func sameLength(low, high string) []string {
	n := len(low)
	free := func(digits int) string {
		if digits == 0 {
			return ""
		}
		return fmt.Sprintf("[0-9]{%d}", digits)
	}
	if strings.Trim(low[1:], "0") == "" && strings.Trim(high[1:], "9") == "" {
		return []string{digit(low[0], high[0]) + free(n-1)}
	}
	if low[0] == high[0] {
		return prefixed(low[0], sameLength(low[1:], high[1:]))
	}
	ways := prefixed(low[0], sameLength(low[1:], strings.Repeat("9", n-1)))
	if low[0]+1 <= high[0]-1 {
		ways = append(ways, digit(low[0]+1, high[0]-1)+free(n-1))
	}
	return append(ways, prefixed(high[0], sameLength(strings.Repeat("0", n-1), high[1:]))...)
}

// prefixed returns grammars for a digit before the continuations. It returns none if there are none.
func prefixed(first byte, ways []string) []string {
	if len(ways) == 0 {
		return nil
	}
	return []string{digit(first, first) + either(ways)}
}

// digit returns a grammar for a digit from low to high, with a space after it.
func digit(low, high byte) string {
	if low == high {
		return `"` + string(low) + `" `
	}
	return "[" + string(low) + "-" + string(high) + "] "
}

// either returns a grammar for one of several alternatives.
func either(ways []string) string {
	if len(ways) == 1 {
		return ways[0]
	}
	return "(" + strings.Join(ways, " | ") + ")"
}
