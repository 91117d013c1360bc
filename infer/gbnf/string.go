package gbnf

import (
	"fmt"
	"regexp/syntax"
	"strings"
	"unicode/utf8"
)

// formats of strings that are held. Some are narrower than the standard, so that what is written surely conforms.
var formats = map[string]string{
	"date":      `^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])$`,
	"time":      `^([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$`,
	"date-time": `^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$`,
	"duration":  `^P([0-9]{1,4}W|[0-9]{1,4}D(T[0-9]{1,4}H)?|T[0-9]{1,4}[HMS])$`,
	"email":     `^[A-Za-z0-9_+-]{1,32}(\.[A-Za-z0-9_+-]{1,32}){0,3}@([a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?\.){1,4}[a-z]{2,12}$`,
	"hostname":  `^([a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?\.){0,4}[a-z]([a-z0-9-]{0,30}[a-z0-9])?$`,
	"ipv4":      `^(([0-9]|[1-9][0-9]|1[0-9]{2}|2[0-4][0-9]|25[0-5])\.){3}([0-9]|[1-9][0-9]|1[0-9]{2}|2[0-4][0-9]|25[0-5])$`,
	"ipv6":      `^([0-9a-f]{1,4}:){7}[0-9a-f]{1,4}$`,
	"uri":       `^https?://([a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?\.){1,4}[a-z]{2,12}(:[1-9][0-9]{0,3})?(/[A-Za-z0-9_.~-]{1,64}){0,8}/?(\?[A-Za-z0-9_.~=&-]{1,128})?(#[A-Za-z0-9_-]{1,64})?$`,
	"uuid":      `^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`,
}

// string writes strings: of a length, or of a pattern, or of a format.
func (c *converter) string(where string, s *value) (string, error) {
	least, err := bound(where, s, "minLength")
	if err != nil {
		return "", err
	}
	most, err := bound(where, s, "maxLength")
	if err != nil {
		return "", err
	}
	pattern, format := s.get("pattern"), s.get("format")
	restrictions := 0
	for _, set := range []bool{least >= 0 || most >= 0, pattern != nil, format != nil} {
		if set {
			restrictions++
		}
	}
	switch {
	case restrictions > 1:
		return "", errorf(where, "only one of pattern, format and a length is supported")
	case pattern != nil:
		return c.pattern(where+"/pattern", pattern)
	case format != nil:
		text, ok := formats[format.text]
		if format.kind != '"' || !ok {
			return "", errorf(where+"/format", "%q is not supported", format.text)
		}
		return c.pattern(where+"/format", &value{kind: '"', text: text})
	case restrictions == 0:
		return c.use("string"), nil
	}
	if most >= 0 && most < least {
		return "", errorf(where, "no string has at least %d and at most %d characters", least, most)
	}
	high := ""
	if most >= 0 {
		high = fmt.Sprint(most)
	}
	return c.rule(fmt.Sprintf(`"\"" %s{%d,%s} "\""`, c.use("char"), max(least, 0), high)), nil
}

// pattern writes the JSON strings in which a regular expression matches. Anchors are supported at its ends only.
func (c *converter) pattern(where string, s *value) (string, error) {
	if s.kind != '"' {
		return "", errorf(where, "want a string")
	}
	expression, err := syntax.Parse(s.text, syntax.Perl)
	if err != nil {
		return "", errorf(where, "%s", err)
	}
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
		if err := writePattern(&b, where, part); err != nil {
			return "", err
		}
	}
	if b.Len() > MaxGrammarBytes {
		return "", errorf(where, "needs too large a grammar")
	}
	inner := b.String()
	if inner == "" {
		inner = `""`
	}
	return c.rule(`"\"" ` + before + inner + after + ` "\""`), nil
}

// writePattern appends a regular expression as a grammar, each part followed by a space.
func writePattern(b *strings.Builder, where string, r *syntax.Regexp) error {
	if r.Flags&syntax.FoldCase != 0 {
		return errorf(where, "matching without regard to case is not supported")
	}
	inBrackets := func(parts []*syntax.Regexp, between string) error {
		b.WriteString("(")
		for i, part := range parts {
			if i > 0 {
				b.WriteString(between)
			}
			before := b.Len()
			if err := writePattern(b, where, part); err != nil {
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
			b.WriteString(jsonClass(runeSet{{char, char}}))
		}
		return nil
	case syntax.OpCharClass:
		var set runeSet
		for i := 0; i+1 < len(r.Rune); i += 2 {
			set = append(set, runeRange{r.Rune[i], r.Rune[i+1]})
		}
		b.WriteString(jsonClass(set))
		return nil
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		b.WriteString(jsonClass(runeSet{{' ', utf8.MaxRune}}))
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

// jsonClass writes the characters of a set as they stand in a JSON string.
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
		return `[^\x00-\U0010ffff] ` // nothing: refused when it is parsed
	case escaped.Len() == 0:
		return "[" + plain.String() + "] "
	case plain.Len() == 0:
		return "(" + strings.TrimPrefix(escaped.String(), " | ") + ") "
	}
	return "([" + plain.String() + "]" + escaped.String() + ") "
}
