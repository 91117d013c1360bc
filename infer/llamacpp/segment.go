package llamacpp

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxSegment bounds the bytes that one call tokenizes with a byte-pair vocabulary. For some models llama.cpp splits the
// text with std::regex, which recurses once for each character of a match: 64 KiB of newlines overflow the stack and
// end the process. Segments also prevent quadratic time for texts full of control tokens.
const maxSegment = 4 << 10

// segment returns the first part of text, at most maxSegment bytes, to be tokenized separately. It ends between words: before
// a space between a word and a letter. Without such a place (a run without spaces) it ends between characters. No segment
// ends inside a control token.
func segment(text string, controls []string) string {
	if len(text) <= maxSegment {
		return text
	}
	cut := maxSegment
	for cut > maxSegment/2 && (text[cut] != ' ' || !wordBorder(text, cut)) {
		cut--
	}
	if cut == maxSegment/2 {
		for cut = maxSegment; !utf8.RuneStart(text[cut]); {
			cut--
		}
	}
	for _, c := range controls {
		from := max(cut-len(c)+1, 1)
		to := min(cut+len(c)-1, len(text))
		if at := strings.Index(text[from:to], c); at >= 0 {
			cut = from + at
		}
	}
	return text[:cut]
}

// wordBorder reports whether the space at i has a visible character before it and a letter after it.
func wordBorder(text string, i int) bool {
	before, _ := utf8.DecodeLastRuneInString(text[:i])
	after, _ := utf8.DecodeRuneInString(text[i+1:])
	return !unicode.IsSpace(before) && !unicode.IsControl(before) && unicode.IsLetter(after)
}
