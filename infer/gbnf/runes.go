package gbnf

import (
	"cmp"
	"slices"
	"unicode/utf8"
)

// runeRange holds the characters from low to high, both included.
type runeRange struct{ low, high rune }

// runeSet is a set of characters.
type runeSet []runeRange

// sorted merges overlapping ranges and sorts them.
func (s runeSet) sorted() runeSet {
	s = slices.Clone(s)
	slices.SortFunc(s, func(a, b runeRange) int { return cmp.Or(cmp.Compare(a.low, b.low), cmp.Compare(a.high, b.high)) })
	out := s[:0]
	for _, r := range s {
		if n := len(out); n > 0 && r.low <= out[n-1].high+1 {
			out[n-1].high = max(out[n-1].high, r.high)
			continue
		}
		out = append(out, r)
	}
	return out
}

// inverted returns all characters that are not in s, which must be sorted.
func (s runeSet) inverted() runeSet {
	var out runeSet
	next := rune(0)
	for _, r := range s {
		if r.low > next {
			out = append(out, runeRange{next, r.low - 1})
		}
		next = r.high + 1
	}
	if next <= utf8.MaxRune {
		out = append(out, runeRange{next, utf8.MaxRune})
	}
	return out
}

const surrogateLow, surrogateHigh = 0xd800, 0xdfff

// valid removes values that UTF-8 cannot encode.
func (s runeSet) valid() runeSet {
	var out runeSet
	for _, r := range s {
		if r.low < surrogateLow {
			out = append(out, runeRange{r.low, min(r.high, surrogateLow-1)})
		}
		if r.high > surrogateHigh {
			out = append(out, runeRange{max(r.low, surrogateHigh+1), r.high})
		}
	}
	return out
}

// byteRange holds the bytes from low to high, both included.
type byteRange struct{ low, high byte }

// utf8Sequences returns sequences of byte ranges that together match the UTF-8 of the characters of a valid set.
func (s runeSet) utf8Sequences() [][]byteRange {
	var out [][]byteRange
	for _, r := range s {
		low := r.low
		for _, last := range []rune{0x7f, 0x7ff, 0xffff, utf8.MaxRune} { // by length of the encoding
			if low <= r.high && low <= last {
				out = appendSequences(out, low, min(r.high, last))
				low = last + 1
			}
		}
	}
	return out
}

// appendSequences splits a range of characters with one encoded length into parts that are sequences of independent byte ranges. In
// each part, every byte after the first one that differs may be any continuation byte.
func appendSequences(out [][]byteRange, low, high rune) [][]byteRange {
	var from, to [utf8.UTFMax]byte
	n := utf8.EncodeRune(from[:], low)
	utf8.EncodeRune(to[:], high)
	for i := 1; i < n; i++ {
		span := rune(1)<<(6*i) - 1 // of the last i bytes
		if low&^span == high&^span {
			continue // the upper bytes are equal
		}
		if low&span != 0 {
			out = appendSequences(out, low, low|span)
			return appendSequences(out, (low|span)+1, high)
		}
		if high&span != span {
			out = appendSequences(out, low, (high&^span)-1)
			return appendSequences(out, high&^span, high)
		}
	}
	sequence := make([]byteRange, n)
	for i := range n {
		sequence[i] = byteRange{from[i], to[i]}
	}
	return append(out, sequence)
}

// has reports whether a character is in a sorted set.
func (s runeSet) has(r rune) bool {
	_, ok := slices.BinarySearchFunc(s, r, func(x runeRange, r rune) int {
		switch {
		case x.high < r:
			return -1
		case x.low > r:
			return 1
		}
		return 0
	})
	return ok
}
