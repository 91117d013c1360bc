package gbnf

import (
	"regexp/syntax"
	"slices"
	"strings"
)

const lookaheads = "a lookahead is supported only at the start of a pattern that has no | outside brackets"

// parsePattern reads a regular expression without lookaheads.
func parsePattern(where, text string) (*syntax.Regexp, error) {
	expression, err := syntax.Parse(text, syntax.Perl)
	switch {
	case err != nil && (strings.Contains(text, "(?=") || strings.Contains(text, "(?!")):
		return nil, errorf(where, lookaheads)
	case err != nil:
		return nil, errorf(where, "%s", err)
	}
	return expression, nil
}

// closing returns the index after the bracketed group that text begins with, or -1 if the group does not end. alternatives
// reports whether text has a | outside brackets.
func closing(text string) (end int, alternatives bool) {
	depth, class := 0, false
	for i := 0; i < len(text); i++ {
		switch b := text[i]; {
		case b == '\\':
			i++
		case class:
			class = b != ']'
		case b == '[':
			class = true
			if strings.HasPrefix(text[i+1:], "^") {
				i++
			}
			if strings.HasPrefix(text[i+1:], "]") {
				i++ // the first character of a class
			}
		case b == '(':
			depth++
		case b == ')':
			if depth--; depth == 0 && end == 0 {
				end = i + 1
			}
		case b == '|' && depth == 0:
			alternatives = true
		}
	}
	if end == 0 {
		return -1, false
	}
	return end, alternatives
}

// weight counts the places of a regular expression with its repetitions expanded, and refuses constructs that an
// automaton cannot match.
func weight(where string, r *syntax.Regexp) (int, error) {
	n := 1
	switch r.Op {
	case syntax.OpLiteral:
		n = len(r.Rune)
	case syntax.OpBeginLine, syntax.OpEndLine, syntax.OpWordBoundary, syntax.OpNoWordBoundary:
		return 0, errorf(where, "%q is not supported within a pattern", r.String())
	}
	for _, sub := range r.Sub {
		inner, err := weight(where, sub)
		if err != nil {
			return 0, err
		}
		n = min(n+inner, maxPlaces+1)
	}
	if r.Op == syntax.OpRepeat {
		n = min(n*max(r.Min, r.Max, 1), maxPlaces+1)
	}
	return n, nil
}

// lengths returns the smallest and the largest number of characters of a string in which a regular expression matches. longest
// is -1 if there is no bound.
func lengths(r *syntax.Regexp) (shortest, longest int) {
	for r.Op == syntax.OpCapture {
		r = r.Sub[0]
	}
	shortest, longest = matchLengths(r)
	if n := len(r.Sub); r.Op != syntax.OpConcat || r.Sub[0].Op != syntax.OpBeginText || r.Sub[n-1].Op != syntax.OpEndText {
		longest = -1 // any text may surround the match
	}
	return shortest, longest
}

func matchLengths(r *syntax.Regexp) (shortest, longest int) {
	const many = maxRepetitions + 1
	least, most := 1, 1 // times that the inner expressions repeat
	switch r.Op {
	case syntax.OpLiteral:
		return len(r.Rune), len(r.Rune)
	case syntax.OpCharClass, syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return 1, 1
	case syntax.OpAlternate:
		for i, sub := range r.Sub {
			low, high := matchLengths(sub)
			if i == 0 {
				shortest, longest = low, high
				continue
			}
			shortest = min(shortest, low)
			if longest < 0 || high < 0 {
				longest = -1
			} else {
				longest = max(longest, high)
			}
		}
		return shortest, longest
	case syntax.OpStar:
		least, most = 0, -1
	case syntax.OpPlus:
		least, most = 1, -1
	case syntax.OpQuest:
		least, most = 0, 1
	case syntax.OpRepeat:
		least, most = r.Min, r.Max
	}
	for _, sub := range r.Sub {
		low, high := matchLengths(sub)
		shortest = min(shortest+low, many)
		if longest < 0 || high < 0 {
			longest = -1
		} else {
			longest = min(longest+high, many)
		}
	}
	shortest = min(shortest*least, many)
	switch {
	case longest == 0 || most == 0:
		return shortest, 0
	case longest < 0 || most < 0 || longest*most > maxRepetitions:
		return shortest, -1
	}
	return shortest, longest * most
}

// innerAnchors reports whether a regular expression has anchors other than at its ends.
func innerAnchors(r *syntax.Regexp) bool {
	for r.Op == syntax.OpCapture {
		r = r.Sub[0]
	}
	parts := r.Sub
	if r.Op == syntax.OpConcat {
		if parts[0].Op == syntax.OpBeginText {
			parts = parts[1:]
		}
		if n := len(parts); n > 0 && parts[n-1].Op == syntax.OpEndText {
			parts = parts[:n-1]
		}
	}
	return slices.ContainsFunc(parts, anchored)
}

func anchored(r *syntax.Regexp) bool {
	return r.Op == syntax.OpBeginText || r.Op == syntax.OpEndText || slices.ContainsFunc(r.Sub, anchored)
}
