package jinja

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// simpleEscapes maps Python's escapes of one letter to the characters that they stand for.
var simpleEscapes = map[byte]string{
	'\n': "", '\\': `\`, '\'': "'", '"': `"`, 'a': "\a", 'b': "\b", 'f': "\f", 'n': "\n", 'r': "\r", 't': "\t", 'v': "\v",
}

// unescape replaces Python's escapes in a string.
func unescape(s string) (string, error) {
	if !strings.Contains(s, `\`) {
		return s, nil
	}
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			out.WriteByte(s[i])
			continue
		}
		i++
		if simple, ok := simpleEscapes[s[i]]; ok {
			out.WriteString(simple)
			continue
		}
		base, from, length := 16, i+1, map[byte]int{'x': 2, 'u': 4, 'U': 8}[s[i]]
		if s[i] >= '0' && s[i] <= '7' {
			base, from = 8, i
			for length = 1; length < 3 && i+length < len(s) && s[i+length] >= '0' && s[i+length] <= '7'; {
				length++
			}
		}
		if length == 0 {
			out.WriteString(s[i-1 : i+1])
			continue
		}
		if from+length > len(s) {
			return "", fmt.Errorf("truncated escape %q", s[i-1:])
		}
		code, err := strconv.ParseUint(s[from:from+length], base, 32)
		if err != nil || code > unicode.MaxRune {
			return "", fmt.Errorf("%q is not a valid escape", s[i-1:from+length])
		}
		out.WriteRune(rune(code))
		i = from + length - 1
	}
	return out.String(), nil
}
