package chattemplate

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
