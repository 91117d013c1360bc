package jinja

import (
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"unicode"
)

// strOf is Python's str().
func strOf(v value) (string, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case markup:
		return string(v), nil
	case *undefined:
		return "", nil
	}
	return reprOf(v)
}

// reprOf is Python's repr().
func reprOf(v value) (string, error) {
	var out strings.Builder
	err := writeRepr(&out, v, 0)
	return out.String(), err
}

func writeRepr(out *strings.Builder, v value, depth int) error {
	if depth > maxDepth || out.Len() > maxOutput {
		return &LimitError{What: "size of a value", Limit: maxOutput}
	}
	switch v := v.(type) {
	case nil:
		out.WriteString("None")
	case bool:
		out.WriteString(strings.ToUpper(strconv.FormatBool(v)[:1]) + strconv.FormatBool(v)[1:])
	case int64:
		out.WriteString(strconv.FormatInt(v, 10))
	case *big.Int:
		out.WriteString(v.String())
	case float64:
		out.WriteString(reprFloat(v))
	case string:
		out.WriteString(reprString(v))
	case markup:
		out.WriteString("Markup(" + reprString(string(v)) + ")")
	case *undefined:
		out.WriteString("Undefined")
	case *list:
		return writeReprList(out, v, depth)
	case *dict:
		return writeReprDict(out, v, depth)
	case *namespace:
		out.WriteString("<Namespace ")
		if err := writeReprDict(out, v.members, depth+1); err != nil {
			return err
		}
		out.WriteString(">")
	case *function:
		out.WriteString("<function " + v.name + ">")
	default:
		out.WriteString("<" + typeName(v) + " object>")
	}
	return nil
}

func writeReprList(out *strings.Builder, l *list, depth int) error {
	if l.kind == isRange {
		fmt.Fprintf(out, "range(%d elements)", len(l.items))
		return nil
	}
	open, closing := "[", "]"
	switch {
	case l.kind == isTuple && len(l.items) == 1:
		open, closing = "(", ",)"
	case l.kind == isTuple:
		open, closing = "(", ")"
	case l.kind == isView:
		open, closing = "dict_view([", "])"
	}
	out.WriteString(open)
	for i, item := range l.items {
		if i > 0 {
			out.WriteString(", ")
		}
		if err := writeRepr(out, item, depth+1); err != nil {
			return err
		}
	}
	out.WriteString(closing)
	return nil
}

func writeReprDict(out *strings.Builder, d *dict, depth int) error {
	out.WriteByte('{')
	for i, key := range d.keys {
		if i > 0 {
			out.WriteString(", ")
		}
		if err := writeRepr(out, key, depth+1); err != nil {
			return err
		}
		out.WriteString(": ")
		if err := writeRepr(out, d.at(key), depth+1); err != nil {
			return err
		}
	}
	out.WriteByte('}')
	return nil
}

// reprFloat is Python's repr of a float: the shortest digits that read back the same, with an exponent below 1e-4 and
// from 1e16 on.
func reprFloat(f float64) string {
	switch {
	case math.IsInf(f, 0):
		return strings.TrimPrefix(strings.ToLower(strconv.FormatFloat(f, 'g', -1, 64)), "+")
	case math.IsNaN(f):
		return "nan"
	case f != 0 && (math.Abs(f) < 1e-4 || math.Abs(f) >= 1e16):
		return strconv.FormatFloat(f, 'e', -1, 64)
	}
	text := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(text, ".") {
		text += ".0"
	}
	return text
}

// reprString is Python's repr of a string. It uses single quotes unless the string contains a single quote and no
// double quote.
func reprString(s string) string {
	quote := '\''
	if strings.Contains(s, "'") && !strings.Contains(s, `"`) {
		quote = '"'
	}
	var out strings.Builder
	out.WriteRune(quote)
	for _, r := range s {
		switch {
		case r == quote || r == '\\':
			out.WriteByte('\\')
			out.WriteRune(r)
		case r == '\n':
			out.WriteString(`\n`)
		case r == '\r':
			out.WriteString(`\r`)
		case r == '\t':
			out.WriteString(`\t`)
		case r == ' ' || unicode.IsPrint(r):
			out.WriteRune(r)
		case r < 0x100:
			fmt.Fprintf(&out, `\x%02x`, r)
		case r < 0x10000:
			fmt.Fprintf(&out, `\u%04x`, r)
		default:
			fmt.Fprintf(&out, `\U%08x`, r)
		}
	}
	out.WriteRune(quote)
	return out.String()
}
