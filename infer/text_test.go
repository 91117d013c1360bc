package infer

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"
)

// feed adds pieces to an answerText and returns the text that a client would have after each.
func feed(stops []string, pieces ...string) (seen []string, stopped bool) {
	a := newAnswerText(stops)
	for _, p := range pieces {
		stopped = a.add([]byte(p), nil)
		text, _ := a.take()
		seen = append(seen, string(text))
		if stopped {
			return seen, true
		}
	}
	a.end()
	text, _ := a.take()
	return append(seen, string(text)), false
}

func TestAnswerText(t *testing.T) {
	tests := map[string]struct {
		stops  []string
		pieces []string
		want   []string // end releases the last one, unless a stop string ended the answer
	}{
		"plain":                     {nil, []string{"a", "b"}, []string{"a", "b", ""}},
		"split character":           {nil, []string{"a\xe2", "\x82", "\xac!"}, []string{"a", "", "€!", ""}},
		"character never whole":     {nil, []string{"a\xe2\x82"}, []string{"a", "\ufffd\ufffd"}},
		"invalid byte":              {nil, []string{"a\xffb", "\xe2b"}, []string{"a\ufffdb", "\ufffdb", ""}},
		"stop in one piece":         {[]string{"END"}, []string{"aENDb"}, []string{"a"}},
		"stop across pieces":        {[]string{"END"}, []string{"aE", "N", "Db"}, []string{"a", "", ""}},
		"not a stop after all":      {[]string{"END"}, []string{"aE", "N", "d"}, []string{"a", "", "ENd", ""}},
		"held at the end":           {[]string{"END"}, []string{"aEN"}, []string{"a", "EN"}},
		"overlapping start":         {[]string{"aab"}, []string{"a", "a", "a", "b"}, []string{"", "", "a", ""}},
		"first to be complete wins": {[]string{"bcd", "abcde"}, []string{"xabcde"}, []string{"xa"}},
		"longest of those that end": {[]string{"c", "abc"}, []string{"xabc"}, []string{"x"}},
		"stop with split character": {[]string{"é!"}, []string{"a\xc3", "\xa9", "?é!"}, []string{"a", "", "é?"}},
		"stop at the start":         {[]string{"\n"}, []string{"\nabc"}, []string{""}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			seen, _ := feed(test.stops, test.pieces...)
			if fmt.Sprintf("%q", seen) != fmt.Sprintf("%q", test.want) {
				t.Errorf("got %q, want %q", seen, test.want)
			}
		})
	}
}

func TestHeldTokens(t *testing.T) {
	a := newAnswerText([]string{"stop"})
	var log []string
	for i, p := range []string{"x", "\xc3", "\xa9", "", "s", "t", "a", " ", "st", "op"} {
		a.add([]byte(p), &TokenInfo{TokenProb: TokenProb{Token: Token(i)}})
		text, tokens := a.take()
		var ids []int
		for _, info := range tokens {
			ids = append(ids, int(info.Token))
		}
		log = append(log, fmt.Sprintf("%q%v", text, ids))
	}
	want := `"x"[0] ""[] "é"[1 2] ""[3] ""[] ""[] "sta"[4 5 6] " "[7] ""[] ""[]`
	if got := strings.Join(log, " "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// naiveStop is the specification of answerText. It returns the text before the stop string that is complete first, or the
// longest of several.
func naiveStop(text string, stops []string) (string, bool) {
	for end := 1; end <= len(text); end++ {
		longest := 0
		for _, s := range stops {
			if strings.HasSuffix(text[:end], s) {
				longest = max(longest, len(s))
			}
		}
		if longest > 0 {
			return text[:end-longest], true
		}
	}
	return text, false
}

func FuzzAnswerText(f *testing.F) {
	f.Add("hello world", "o w", "lo", uint64(3))
	f.Add("aaaaab", "aab", "b", uint64(0))
	f.Add("a\xe2\x82\xac\xff\xe2", "€", "x", uint64(0xabcdef))
	f.Add("ééé", "é", "", uint64(7))
	f.Fuzz(func(t *testing.T, text, stop1, stop2 string, cuts uint64) {
		var stops []string
		for _, s := range []string{stop1, stop2} {
			if s != "" && utf8.ValidString(s) {
				stops = append(stops, s)
			}
		}
		whole := string([]rune(text))
		want, wantStop := naiveStop(whole, stops)
		var pieces []string
		start := 0
		for i := 1; i < len(text); i++ {
			if cuts>>(i%64)&1 == 1 {
				pieces = append(pieces, text[start:i])
				start = i
			}
		}
		pieces = append(pieces, text[start:])
		seen, stopped := feed(stops, pieces...)
		got := strings.Join(seen, "")
		// A stop string that matches only replaced bytes at the end of the answer does not count.
		if got != want || (stopped != wantStop && stopped) {
			t.Errorf("text %q, stops %q, pieces %q: got %q (%t), want %q (%t)", text, stops, pieces, got, stopped, want, wantStop)
		}
		for _, s := range seen {
			if s != strings.ToValidUTF8(s, "\ufffd") {
				t.Errorf("chunk %q is not UTF-8", s)
			}
		}
	})
}

func BenchmarkAnswerText(b *testing.B) {
	for _, n := range []int{0, 4, 1000} {
		b.Run(fmt.Sprintf("stops=%d", n), func(b *testing.B) {
			var stops []string
			for i := range n {
				stops = append(stops, fmt.Sprintf("the %d-th", i))
			}
			a := newAnswerText(stops)
			piece := []byte(" the 12")
			b.ReportAllocs()
			for b.Loop() {
				a.add(piece, nil)
				a.take()
			}
		})
	}
}
