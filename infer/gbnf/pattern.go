package gbnf

import (
	"fmt"
	"regexp/syntax"
	"strings"
	"unicode/utf8"
)

// notation determines how a grammar writes the characters that a regular expression matches.
type notation struct {
	class func(runeSet) string
	any   map[syntax.Op]runeSet // what a dot matches, with line breaks and without
}

// inJSON writes characters as they appear in a JSON string, plain writes them unchanged.
var (
	inJSON = notation{jsonClass, map[syntax.Op]runeSet{syntax.OpAnyChar: {{' ', utf8.MaxRune}}, syntax.OpAnyCharNotNL: {{' ', utf8.MaxRune}}}}
	plain  = notation{plainClass, map[syntax.Op]runeSet{syntax.OpAnyChar: {{1, utf8.MaxRune}}, syntax.OpAnyCharNotNL: {{1, '\n' - 1}, {'\n' + 1, utf8.MaxRune}}}}
)

// FromPattern converts a regular expression in the syntax of package regexp to a grammar for the texts that it matches as a
// whole. Anchors at its ends have no effect. If no grammar can express it (inner anchors, word boundaries, lookaheads,
// backreferences), FromPattern returns an *Error.
func FromPattern(text string) (string, error) {
	const where = "pattern"
	if len(text) > MaxSchemaBytes {
		return "", errorf(where, "has %d bytes, at most %d are allowed", len(text), MaxSchemaBytes)
	}
	expression, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return "", errorf(where, "%s", err)
	}
	var b strings.Builder
	b.WriteString("root ::= ")
	before := b.Len()
	for _, part := range unanchored(expression) {
		if err := writePattern(&b, where, part, plain); err != nil {
			return "", err
		}
	}
	if b.Len() == before {
		b.WriteString(`""`)
	}
	b.WriteByte('\n')
	if b.Len() > MaxGrammarBytes {
		return "", errorf(where, "needs too large a grammar; shorten the pattern")
	}
	if _, err := Parse(b.String()); err != nil {
		return "", errorf(where, "no grammar can express it: %s", err)
	}
	return b.String(), nil
}

// unanchored returns the parts of a regular expression without the anchors at its ends.
func unanchored(r *syntax.Regexp) []*syntax.Regexp {
	parts := []*syntax.Regexp{r}
	if r.Op == syntax.OpConcat {
		parts = r.Sub
	}
	if len(parts) > 0 && parts[0].Op == syntax.OpBeginText {
		parts = parts[1:]
	}
	if n := len(parts); n > 0 && parts[n-1].Op == syntax.OpEndText {
		parts = parts[:n-1]
	}
	return parts
}

// plainClass returns a character class for a set, without NUL.
func plainClass(set runeSet) string {
	var b strings.Builder
	for _, r := range set.sorted().valid() {
		if r.low = max(r.low, 1); r.low <= r.high {
			fmt.Fprintf(&b, `\U%08x-\U%08x`, r.low, r.high)
		}
	}
	if b.Len() == 0 {
		return `[^\x00-\U0010ffff] ` // matches nothing, so the parser refuses it
	}
	return "[" + b.String() + "] "
}
