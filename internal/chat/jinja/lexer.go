package jinja

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// kind is the kind of a token.
type kind int

const (
	tokenEnd kind = iota // of the source
	tokenData
	tokenVariableBegin
	tokenVariableEnd
	tokenBlockBegin
	tokenBlockEnd
	tokenName
	tokenString
	tokenInteger
	tokenFloat
	tokenOperator
)

// token is a piece of the source. The text of a string token is already unescaped.
type token struct {
	kind kind
	text string
	line int
}

// describe names a token in an error.
func (t token) describe() string {
	switch t.kind {
	case tokenEnd:
		return "end of template"
	case tokenBlockEnd:
		return "end of statement block"
	case tokenVariableEnd:
		return "end of print statement"
	}
	return strconv.Quote(t.text)
}

// lexer splits a source into tokens by the rules of Jinja2 with trim_blocks and lstrip_blocks.
type lexer struct {
	source       string
	at           int
	line         int
	lineStarting bool // whether the last match ended a line
	tokens       []token
}

// tokenize splits a source, in which lines must end with \n, into tokens.
func tokenize(source string) ([]token, error) {
	source = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(source)
	source = strings.TrimSuffix(source, "\n")
	l := &lexer{source: source, line: 1, lineStarting: true}
	for l.at < len(l.source) {
		if err := l.data(); err != nil {
			return nil, err
		}
	}
	l.emit(tokenEnd, "")
	return l.tokens, nil
}

func (l *lexer) emit(kind kind, text string) {
	l.tokens = append(l.tokens, token{kind, text, l.line})
}

// advance moves past the next n bytes.
func (l *lexer) advance(n int) {
	matched := l.source[l.at : l.at+n]
	l.line += strings.Count(matched, "\n")
	l.lineStarting = strings.HasSuffix(matched, "\n")
	l.at += n
}

func (l *lexer) fail(format string, arguments ...any) error {
	return fmt.Errorf("line %d: %s", l.line, fmt.Sprintf(format, arguments...))
}

// data reads the text up to the next tag and the tag itself.
func (l *lexer) data() error {
	rest := l.source[l.at:]
	begin := nextTag(rest)
	if begin < 0 {
		l.emit(tokenData, rest)
		l.advance(len(rest))
		return nil
	}
	tag := rest[begin+1]
	if tag == '%' {
		if body, ok := rawBegin(rest[begin:]); ok {
			l.text(rest[:begin], tag, signOf(rest[begin+2:]))
			l.advance(begin + body)
			return l.raw()
		}
	}
	sign := signOf(rest[begin+2:])
	l.text(rest[:begin], tag, sign)
	l.advance(begin + 2 + len(sign))
	switch tag {
	case '#':
		return l.comment()
	case '%':
		l.emit(tokenBlockBegin, "")
		return l.tag("%}", tokenBlockEnd)
	}
	l.emit(tokenVariableBegin, "")
	return l.tag("}}", tokenVariableEnd)
}

// nextTag returns the index of the next {{, {% or {#, or -1 if there is none.
func nextTag(s string) int {
	for from := 0; ; {
		i := strings.IndexByte(s[from:], '{')
		if i < 0 || from+i+1 >= len(s) {
			return -1
		}
		if from += i; s[from+1] == '{' || s[from+1] == '%' || s[from+1] == '#' {
			return from
		}
		from++
	}
}

// signOf returns the sign for white space control with which s begins, or "".
func signOf(s string) string {
	if s != "" && (s[0] == '-' || s[0] == '+') {
		return s[:1]
	}
	return ""
}

// text emits the text before a tag. It strips white space as the tag asks for.
func (l *lexer) text(text string, tag byte, sign string) {
	switch {
	case sign == "-":
		text = strings.TrimRightFunc(text, isSpace)
	case sign == "" && tag != '{':
		line := strings.LastIndexByte(text, '\n') + 1
		if (line > 0 || l.lineStarting) && strings.TrimLeftFunc(text[line:], isSpace) == "" {
			text = text[:line]
		}
	}
	if text != "" {
		l.emit(tokenData, text)
	}
}

// rawBegin matches {% raw %} and returns its length.
func rawBegin(s string) (length int, ok bool) {
	rest := s[2:]
	rest = strings.TrimLeftFunc(rest[len(signOf(rest)):], isSpace)
	rest, ok = strings.CutPrefix(rest, "raw")
	if !ok {
		return 0, false
	}
	rest = strings.TrimLeftFunc(rest, isSpace)
	if after, ok := strings.CutPrefix(rest, "-%}"); ok {
		return len(s) - len(strings.TrimLeftFunc(after, isSpace)), true
	}
	after, ok := strings.CutPrefix(rest, "%}")
	return len(s) - len(after), ok
}

// raw reads the text up to {% endraw %} and that tag itself.
func (l *lexer) raw() error {
	rest := l.source[l.at:]
	for from := 0; ; {
		i := strings.Index(rest[from:], "{%")
		if i < 0 {
			return l.fail("missing end of raw directive")
		}
		begin := from + i
		sign := signOf(rest[begin+2:])
		after, ok := strings.CutPrefix(strings.TrimLeftFunc(rest[begin+2+len(sign):], isSpace), "endraw")
		if after = strings.TrimLeftFunc(after, isSpace); ok {
			if n := blockEnd(after, "%}"); n > 0 {
				l.text(rest[:begin], '%', sign)
				l.advance(len(rest) - len(after) + n)
				return nil
			}
		}
		from = begin + 2
	}
}

// blockEnd returns the length of the end of a tag, including the white space that belongs to it. It returns 0 if s does
// not begin with such an end.
func blockEnd(s, end string) int {
	switch {
	case strings.HasPrefix(s, end):
		if end != "}}" && strings.HasPrefix(s[len(end):], "\n") {
			return len(end) + 1
		}
		return len(end)
	case strings.HasPrefix(s, "+"+end) && end != "}}":
		return 1 + len(end)
	case strings.HasPrefix(s, "-"+end):
		return len(s) - len(strings.TrimLeftFunc(s[1+len(end):], isSpace))
	}
	return 0
}

func (l *lexer) comment() error {
	rest := l.source[l.at:]
	i := strings.Index(rest, "#}")
	if i < 0 {
		return l.fail("missing end of comment tag")
	}
	if i > 0 && (rest[i-1] == '-' || rest[i-1] == '+') {
		i--
	}
	l.advance(i + blockEnd(rest[i:], "#}"))
	return nil
}

// tag reads the tokens of a tag up to its end. An end within brackets does not count.
func (l *lexer) tag(end string, endKind kind) error {
	var open []byte
	for l.at < len(l.source) {
		rest := l.source[l.at:]
		if n := blockEnd(rest, end); n > 0 && len(open) == 0 {
			l.emit(endKind, "")
			l.advance(n)
			return nil
		}
		if n := len(rest) - len(strings.TrimLeftFunc(rest, isSpace)); n > 0 {
			l.advance(n)
			continue
		}
		kind, text, n, err := l.next(rest)
		if err != nil {
			return err
		}
		if kind == tokenOperator {
			if open, err = l.balance(open, text); err != nil {
				return err
			}
		}
		l.emit(kind, text)
		l.advance(n)
	}
	return nil
}

func (l *lexer) balance(open []byte, operator string) ([]byte, error) {
	switch operator {
	case "(":
		open = append(open, ')')
	case "[":
		open = append(open, ']')
	case "{":
		open = append(open, '}')
	case ")", "]", "}":
		if len(open) == 0 || open[len(open)-1] != operator[0] {
			return nil, l.fail("unexpected %q", operator)
		}
		open = open[:len(open)-1]
	}
	if len(open) > maxNesting {
		return nil, &LimitError{What: "nested brackets", Limit: maxNesting}
	}
	return open, nil
}

// operators lists the operators, the longest first.
var operators = []string{
	"//", "**", "==", "!=", ">=", "<=",
	"+", "-", "/", "*", "%", "~", "[", "]", "(", ")", "{", "}", ">", "<", "=", ".", ":", "|", ",", ";",
}

// next reads one token and returns how many bytes it has.
func (l *lexer) next(rest string) (kind, string, int, error) {
	c, _ := utf8.DecodeRuneInString(rest)
	switch {
	case c >= '0' && c <= '9':
		return l.number(rest)
	case isNameRune(c):
		n := len(rest) - len(strings.TrimLeftFunc(rest, isNameRune))
		return tokenName, rest[:n], n, nil
	case c == '\'' || c == '"':
		return l.str(rest)
	}
	for _, operator := range operators {
		if strings.HasPrefix(rest, operator) {
			return tokenOperator, operator, len(operator), nil
		}
	}
	return 0, "", 0, l.fail("unexpected char %q", c)
}

// number reads an integer or a float. A float has a fraction or an exponent. A number that follows a dot is an index.
func (l *lexer) number(rest string) (kind, string, int, error) {
	n := digits(rest, "0123456789")
	found := tokenInteger
	last := l.tokens[len(l.tokens)-1]
	index := last.kind == tokenOperator && last.text == "."
	if len(rest) > 1 && rest[0] == '0' && strings.IndexByte("xXoObB", rest[1]) >= 0 {
		n = 2 + digits(rest[2:], "0123456789abcdefABCDEF")
	} else if !index {
		if fraction := digits(strings.TrimPrefix(rest[n:], "."), "0123456789"); fraction > 0 && rest[n] == '.' {
			n += 1 + fraction
			found = tokenFloat
		}
		if n < len(rest) && (rest[n] == 'e' || rest[n] == 'E') {
			sign := len(signOf(rest[n+1:]))
			if exponent := digits(rest[n+1+sign:], "0123456789"); exponent > 0 {
				n += 1 + sign + exponent
				found = tokenFloat
			}
		}
	}
	text := strings.ReplaceAll(rest[:n], "_", "")
	var err error
	if found == tokenFloat {
		_, err = strconv.ParseFloat(text, 64)
	} else {
		_, err = strconv.ParseInt(text, 0, 64)
	}
	if err != nil {
		return 0, "", 0, l.fail("%q is not a valid number", rest[:n])
	}
	return found, text, n, nil
}

// digits returns the number of bytes of digits at the beginning of s, including single underscores between digits.
func digits(s, set string) int {
	n := 0
	for n < len(s) && (strings.IndexByte(set, s[n]) >= 0 || s[n] == '_' && n > 0 && s[n-1] != '_') {
		n++
	}
	if n > 0 && s[n-1] == '_' {
		n--
	}
	return n
}

func (l *lexer) str(rest string) (kind, string, int, error) {
	for i := 1; i < len(rest); i++ {
		switch rest[i] {
		case '\\':
			i++
		case rest[0]:
			text, err := unescape(rest[1:i])
			if err != nil {
				return 0, "", 0, l.fail("%v", err)
			}
			return tokenString, text, i + 1, nil
		}
	}
	return 0, "", 0, l.fail("unexpected char %q", rest[0])
}

// isSpace is Python's str.isspace for one character.
func isSpace(r rune) bool { return unicode.IsSpace(r) || r >= 0x1c && r <= 0x1f }

func isNameRune(r rune) bool { return r == '_' || unicode.IsLetter(r) || unicode.IsNumber(r) }
