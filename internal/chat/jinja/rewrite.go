package jinja

import "strings"

// rewriteForGonja works around what gonja cannot parse or does otherwise than Jinja. It rewrites inline conditions within brackets: "(a if b else c)" becomes
// "(((b) and [a] or [c])[0])", which evaluates only the side that is chosen too. Conditions outside brackets stay.
func rewriteForGonja(source string) string {
	var out strings.Builder
	for _, tag := range tagsOf(source) {
		at := strings.Index(source, tag)
		out.WriteString(source[:at])
		out.WriteString(rewriteBrackets(tag[:2], tag[2:]))
		source = source[at+len(tag):]
	}
	out.WriteString(source)
	return out.String()
}

// rewriteBrackets rewrites what stands in the brackets of an expression; done is copied before it.
func rewriteBrackets(done, expression string) string {
	var out strings.Builder
	out.WriteString(done)
	for i := 0; i < len(expression); i++ {
		switch c := expression[i]; c {
		case '\'', '"':
			end := min(stringEnd(expression, i)+1, len(expression))
			out.WriteString(expression[i:end])
			i = end - 1
		case '(', '[', '{':
			end := closingBracket(expression, i)
			if end < 0 {
				out.WriteString(expression[i:])
				return out.String()
			}
			if c == '[' && isNegative(expression[i+1:end]) && isOperand(out.String()) {
				// gonja takes the only element of a list for missing when it is asked for by [-1].
				out.WriteString("[" + strings.TrimSpace(expression[i+1:end]) + ":][0]")
				i = end
				continue
			}
			out.WriteByte(c)
			for k, element := range splitTop(expression[i+1:end], ',') {
				if k > 0 {
					out.WriteByte(',')
				}
				out.WriteString(rewriteElement(element, c == '{'))
			}
			out.WriteByte(expression[end])
			i = end
		case '\n', '\r': // gonja takes a line's end for a part of the token right behind it
			out.WriteString(string(c) + " ")
		default:
			out.WriteByte(c)
		}
	}
	return out.String()
}

// rewriteElement rewrites an argument or element, the name of a keyword argument or the key of a dict left alone.
func rewriteElement(element string, dict bool) string {
	element = rewriteBrackets("", element)
	before, value := "", element
	if parts := splitTop(element, ':'); dict && len(parts) == 2 {
		before, value = parts[0]+":", parts[1]
	} else if name, rest, ok := strings.Cut(element, "="); ok && isName(name) && !strings.HasPrefix(rest, "=") {
		before, value = name+"=", rest
	}
	return before + rewriteCondition(value)
}

func rewriteCondition(expression string) string {
	then, rest, ok := cutWord(expression, "if")
	if !ok || strings.TrimSpace(then) == "" {
		return expression
	}
	condition, otherwise, ok := cutWord(rest, "else")
	if !ok {
		otherwise = "''"
	}
	return "((" + condition + ") and [" + then + "] or [" + rewriteCondition(otherwise) + "])[0]"
}

// closingBracket is the index of the bracket that closes the one at open, or -1.
func closingBracket(s string, open int) int {
	depth := 0
	for i := open; i < len(s); i++ {
		switch s[i] {
		case '\'', '"':
			i = stringEnd(s, i)
		case '(', '[', '{':
			depth++
		case ')', ']', '}':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}

// splitTop splits at a separator outside strings and brackets.
func splitTop(s string, separator byte) []string {
	var parts []string
	depth, from := 0, 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\'' || c == '"':
			i = stringEnd(s, i)
		case c == '(' || c == '[' || c == '{':
			depth++
		case c == ')' || c == ']' || c == '}':
			depth--
		case c == separator && depth == 0:
			parts = append(parts, s[from:i])
			from = i + 1
		}
	}
	return append(parts, s[from:])
}

// cutWord cuts around the first occurrence of a word outside strings and brackets.
func cutWord(s, word string) (before, after string, found bool) {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\'' || c == '"':
			i = stringEnd(s, i)
		case c == '(' || c == '[' || c == '{':
			depth++
		case c == ')' || c == ']' || c == '}':
			depth--
		case depth == 0 && strings.HasPrefix(s[i:], word) && !nameByteAt(s, i-1) && !nameByteAt(s, i+len(word)):
			return s[:i], s[i+len(word):], true
		}
	}
	return s, "", false
}

// isNegative tells whether an index counts from the end.
func isNegative(index string) bool {
	digits, ok := strings.CutPrefix(strings.TrimSpace(index), "-")
	return ok && digits != "" && strings.Trim(digits, "0123456789") == ""
}

// isOperand tells whether a bracket after s is an index and not a list.
func isOperand(s string) bool {
	s = strings.TrimRight(s, " ")
	return nameByteAt(s, len(s)-1) || strings.HasSuffix(s, ")") || strings.HasSuffix(s, "]") || strings.HasSuffix(s, "'") || strings.HasSuffix(s, `"`)
}

func isName(s string) bool {
	s = strings.TrimSpace(s)
	for i := range len(s) {
		if !nameByteAt(s, i) {
			return false
		}
	}
	return s != ""
}

func nameByteAt(s string, i int) bool {
	if i < 0 || i >= len(s) {
		return false
	}
	c := s[i]
	return c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
}
