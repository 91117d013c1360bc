package jinja

import (
	"fmt"
	"strings"
)

// tagsOf cuts the tags out of a source: {{ … }} and {% … %} with their delimiters, strings within them respected.
// Comments and text are left out.
func tagsOf(source string) []string {
	var tags []string
	for {
		start := strings.IndexByte(source, '{')
		if start < 0 || start+1 >= len(source) {
			return tags
		}
		source = source[start:]
		switch source[1] {
		case '#':
			end := strings.Index(source, "#}")
			if end < 0 {
				return tags
			}
			source = source[end+2:]
		case '{', '%':
			end := tagEnd(source)
			tags = append(tags, source[:end])
			source = source[end:]
		default:
			source = source[1:]
		}
	}
}

// tagEnd finds the end of the tag that source begins with; a tag that does not end goes to the end of the source.
func tagEnd(source string) int {
	closing := "}}"
	if source[1] == '%' {
		closing = "%}"
	}
	depth := 0
	for i := 2; i < len(source); i++ {
		switch c := source[i]; {
		case c == '\'' || c == '"':
			i = stringEnd(source, i)
		case depth == 0 && strings.HasPrefix(source[i:], closing):
			return i + 2
		case c == '(' || c == '[' || c == '{':
			depth++
		case c == ')' || c == ']' || c == '}':
			depth = max(depth-1, 0)
		}
	}
	return len(source)
}

// stringEnd is the index of the quote that ends the string which begins at start.
func stringEnd(source string, start int) int {
	for i := start + 1; i < len(source); i++ {
		switch source[i] {
		case '\\':
			i++
		case source[start]:
			return i
		}
	}
	return len(source)
}

// checkTag counts nested brackets (words that nest, such as not, count too) and the operators that make longer strings or
// lists out of shorter ones; it refuses the one that repeats them.
func checkTag(tag string) (brackets, joins int, err error) {
	inner := strings.Trim(tag, "{}%")
	open := 0
	for i := 0; i < len(inner); i++ {
		switch c := inner[i]; {
		case c == '\'' || c == '"':
			i = stringEnd(inner, i)
		case strings.HasPrefix(inner[i:], "**"):
			i++ // a power, or keyword arguments
		case c == '*' && !strings.HasSuffix(strings.TrimRight(inner[:i], " \t\r\n"), "(") && !strings.HasSuffix(strings.TrimRight(inner[:i], " \t\r\n"), ","):
			return 0, 0, fmt.Errorf("multiplication is not supported, in %.60q", tag)
		case c == '+' || c == '~':
			joins++
		case c == '(' || c == '[' || c == '{':
			open++
			brackets = max(brackets, open)
		case c == ')' || c == ']' || c == '}':
			open--
		}
	}
	return max(brackets, strings.Count(inner, "not ")), joins, nil
}

// sizeOf counts the operands of lists, dicts and calls that are no plain text, and all bytes that are neither text nor white space: each of them may
// stand for a large value, or be repeated in an error for every other one.
func sizeOf(tag string) (operands, code int) {
	for i := 0; i < len(tag); i++ {
		switch c := tag[i]; c {
		case '\'', '"':
			i = stringEnd(tag, i)
		case ' ', '\t', '\r', '\n':
		default:
			code++
			if c == ',' && !beginsWithText(tag[i+1:]) {
				operands++
			}
		}
	}
	return operands, code
}

// beginsWithText tells whether the next operand is a text alone, as a value of a dict with its key, or nothing.
func beginsWithText(s string) bool {
	for {
		s = strings.TrimLeft(s, " \t\r\n")
		if s != "" && (s[0] == '\'' || s[0] == '"') {
			s = strings.TrimLeft(s[min(stringEnd(s, 0)+1, len(s)):], " \t\r\n")
		}
		if s == "" || strings.IndexByte(",)]}", s[0]) >= 0 {
			return true
		}
		if s[0] != ':' {
			return false
		}
		s = s[1:]
	}
}

// longestChain is how many methods at most work on each other's results in a tag, arguments included.
func longestChain(tag string) int {
	type level struct {
		chain, longest int  // of the operand that is read, and of those before it
		method         bool // the brackets are a method's
	}
	levels := []level{{}}
	for i := 0; i < len(tag); i++ {
		top := &levels[len(levels)-1]
		switch c := tag[i]; {
		case c == '\'' || c == '"':
			i = stringEnd(tag, i)
		case c == '(' || c == '[' || c == '{':
			levels = append(levels, level{method: c == '(' && isMethod(tag[:i])})
		case (c == ')' || c == ']' || c == '}') && len(levels) > 1:
			inner := max(top.chain, top.longest)
			if top.method {
				inner++
			}
			levels = levels[:len(levels)-1]
			outer := &levels[len(levels)-1]
			if top.method {
				inner = max(inner, outer.chain+1)
			}
			outer.chain = max(outer.chain, inner)
		case strings.IndexByte(",:+-~*/%<>=!", c) >= 0 || beginsOperand(tag, i):
			top.chain, top.longest = 0, max(top.chain, top.longest)
		}
	}
	return max(levels[0].chain, levels[0].longest)
}

// isMethod tells whether a bracket after s holds the arguments of a method.
func isMethod(s string) bool {
	s = strings.TrimRight(s, " \t\r\n")
	end := len(s)
	for nameByteAt(s, end-1) {
		end--
	}
	return end < len(s) && strings.HasSuffix(strings.TrimRight(s[:end], " \t\r\n"), ".")
}

// beginsOperand tells whether a name begins at i that is neither an attribute's nor a filter's.
func beginsOperand(s string, i int) bool {
	if !nameByteAt(s, i) || nameByteAt(s, i-1) {
		return false
	}
	before := strings.TrimRight(s[:i], " \t\r\n")
	return !strings.HasSuffix(before, ".") && !strings.HasSuffix(before, "|")
}
