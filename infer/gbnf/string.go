package gbnf

import (
	"fmt"
	"regexp/syntax"
	"strings"
	"unicode"
)

// string returns a rule for strings with a length, a pattern and a format.
func (c *converter) string(where string, s *value) (string, error) {
	least, err := bound(where, s, "minLength")
	if err != nil {
		return "", err
	}
	most, err := bound(where, s, "maxLength")
	if err != nil {
		return "", err
	}
	if most >= 0 && most < least {
		return "", errorf(where, "no string has at least %d and at most %d characters", least, most)
	}
	pattern, format := s.get("pattern"), ""
	if f := s.get("format"); f != nil {
		if f.kind != '"' {
			return "", errorf(where+"/format", "must be a string")
		}
		format = formatOf(f.text, pattern != nil, most)
	}
	switch {
	case pattern != nil && pattern.kind != '"':
		return "", errorf(where+"/pattern", "must be a string")
	case pattern != nil && format != "":
		// If no string matches both, or if it takes too long to find out, the pattern overrides the format: it describes
		// the value more precisely, such as a local time.
		if rule, err := c.language(where, []string{pattern.text, format}, least, most); err == nil {
			return rule, nil
		}
		fallthrough
	case pattern != nil:
		return c.matching(where, where+"/pattern", pattern.text, least, most)
	case format != "":
		return c.matching(where, where+"/format", format, least, most)
	case least < 0 && most < 0:
		return c.use("string"), nil
	}
	high := ""
	if most >= 0 {
		high = fmt.Sprint(most)
	}
	return c.rule(fmt.Sprintf(`"\"" %s{%d,%s} "\""`, c.use("char"), max(least, 0), high)), nil
}

// matching returns a rule for the strings of some length in which a regular expression matches.
func (c *converter) matching(where, at, text string, least, most int) (string, error) {
	if strings.HasPrefix(text, "^(?=") || strings.HasPrefix(text, "^(?!") {
		return c.language(where, []string{text}, least, most)
	}
	expression, err := parsePattern(at, text)
	if err != nil {
		return "", err
	}
	shortest, longest := lengths(expression)
	if least > shortest || most >= 0 && (longest < 0 || longest > most) || innerAnchors(expression) {
		return c.language(where, []string{text}, least, most)
	}
	return c.pattern(at, expression)
}

// pattern returns a rule for the JSON strings in which a regular expression matches. It may have anchors only at its ends.
func (c *converter) pattern(where string, expression *syntax.Regexp) (string, error) {
	parts := []*syntax.Regexp{expression}
	for len(parts) == 1 && parts[0].Op == syntax.OpCapture {
		parts = parts[0].Sub
	}
	if len(parts) == 1 && parts[0].Op == syntax.OpConcat {
		parts = parts[0].Sub
	}
	any := c.use("char") + "*"
	before, after := any+" ", " "+any
	if n := len(parts); n > 0 && (parts[0].Op == syntax.OpBeginText || parts[0].Op == syntax.OpBeginLine) {
		before, parts = "", parts[1:]
	}
	if n := len(parts); n > 0 && (parts[n-1].Op == syntax.OpEndText || parts[n-1].Op == syntax.OpEndLine) {
		after, parts = "", parts[:n-1]
	}
	var b strings.Builder
	for _, part := range parts {
		if err := writePattern(&b, where, part, inJSON); err != nil {
			return "", err
		}
	}
	if b.Len() > MaxGrammarBytes {
		return "", errorf(where, "needs too large a grammar; shorten the pattern")
	}
	inner := b.String()
	if inner == "" {
		inner = `""`
	}
	return c.rule(`"\"" ` + before + inner + after + ` "\""`), nil
}

// writePattern appends a regular expression as a grammar, each part followed by a space.
func writePattern(b *strings.Builder, where string, r *syntax.Regexp, to notation) error {
	inBrackets := func(parts []*syntax.Regexp, between string) error {
		b.WriteString("(")
		for i, part := range parts {
			if i > 0 {
				b.WriteString(between)
			}
			before := b.Len()
			if err := writePattern(b, where, part, to); err != nil {
				return err
			}
			if b.Len() == before {
				b.WriteString(`""`)
			}
		}
		b.WriteString(")")
		return nil
	}
	repeat := ""
	switch r.Op {
	case syntax.OpEmptyMatch:
		return nil
	case syntax.OpLiteral:
		for _, char := range r.Rune {
			b.WriteString(to.class(letter(char, r.Flags&syntax.FoldCase != 0)))
		}
		return nil
	case syntax.OpCharClass:
		var set runeSet
		for i := 0; i+1 < len(r.Rune); i += 2 {
			set = append(set, runeRange{r.Rune[i], r.Rune[i+1]})
		}
		b.WriteString(to.class(set))
		return nil
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		b.WriteString(to.class(to.any[r.Op]))
		return nil
	case syntax.OpCapture, syntax.OpConcat:
		return inBrackets(r.Sub, "")
	case syntax.OpAlternate:
		return inBrackets(r.Sub, "| ")
	case syntax.OpStar:
		repeat = "* "
	case syntax.OpPlus:
		repeat = "+ "
	case syntax.OpQuest:
		repeat = "? "
	case syntax.OpRepeat:
		if repeat = fmt.Sprintf("{%d,%d} ", r.Min, r.Max); r.Max < 0 {
			repeat = fmt.Sprintf("{%d,} ", r.Min)
		}
	default:
		return errorf(where, "%q is not supported within a pattern", r.String())
	}
	if err := inBrackets(r.Sub, ""); err != nil {
		return err
	}
	b.WriteString(repeat)
	return nil
}

// letter returns a character and, with fold, those that differ from it only in case. Package syntax also represents a class
// such as [cC] like this.
func letter(char rune, fold bool) runeSet {
	set := runeSet{{char, char}}
	if fold {
		for other := unicode.SimpleFold(char); other != char; other = unicode.SimpleFold(other) {
			set = append(set, runeRange{other, other})
		}
	}
	return set.sorted()
}

// jsonClass returns alternatives for the characters of a set as they appear in a JSON string.
func jsonClass(set runeSet) string {
	const first = ' '
	var plain, escaped strings.Builder
	for _, r := range set.sorted().valid() {
		for _, part := range []runeRange{{max(r.low, first), min(r.high, '"'-1)}, {max(r.low, '"'+1), min(r.high, '\\'-1)}, {max(r.low, '\\'+1), min(r.high, 0x7e)}, {max(r.low, 0x80), r.high}} {
			if part.low <= part.high {
				fmt.Fprintf(&plain, `\U%08x-\U%08x`, part.low, part.high)
			}
		}
		for _, e := range []struct {
			char rune
			text string
		}{{'"', `\"`}, {'\\', `\\`}, {'\n', `\n`}, {'\t', `\t`}, {'\r', `\r`}} {
			if r.low <= e.char && e.char <= r.high {
				escaped.WriteString(" | " + literal(e.text))
			}
		}
	}
	switch {
	case plain.Len() == 0 && escaped.Len() == 0:
		return `[^\x00-\U0010ffff] ` // matches nothing, so the parser refuses it
	case escaped.Len() == 0:
		return "[" + plain.String() + "] "
	case plain.Len() == 0:
		return "(" + strings.TrimPrefix(escaped.String(), " | ") + ") "
	}
	return "([" + plain.String() + "]" + escaped.String() + ") "
}
