package gbnf

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"
)

func TestLanguages(t *testing.T) {
	const (
		mail = `^(?!\\.)(?!.*\\.\\.)([A-Za-z0-9_'+\\-\\.]*)[A-Za-z0-9_+-]@([A-Za-z0-9][A-Za-z0-9\\-]*\\.)+[A-Za-z]{2,}$`
		uuid = `^([0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[1-8][0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}|00000000-0000-0000-0000-000000000000)$`
		day  = `(?:(?:\\d\\d[2468][048]|\\d\\d[13579][26]|\\d\\d0[48]|[02468][048]00|[13579][26]00)-02-29|\\d{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\\d|30)|(?:02)-(?:0[1-9]|1\\d|2[0-8])))`
		hour = `(?:[01]\\d|2[0-3]):[0-5]\\d(?::[0-5]\\d(?:\\.\\d+)?)?`
	)
	tests := map[string]struct {
		schema  string
		yes, no []string
	}{
		"mail":             {`{"type":"string","format":"email","pattern":"` + mail + `"}`, []string{`"o'neil@a.ie"`, `"a.b@c-d.org"`}, []string{`".a@b.cd"`, `"a..b@c.de"`, `"a@b"`, `"a.@b.cd"`}},
		"mail alone":       {`{"type":"string","pattern":"` + mail + `"}`, []string{`"a.b@c-d.org"`}, []string{`".a@b.cd"`, `"a..b@c.de"`, `"a@b..de"`}},
		"uuid":             {`{"type":"string","format":"uuid","pattern":"` + uuid + `"}`, []string{`"01234567-89ab-4def-8123-456789abcdef"`, `"00000000-0000-0000-0000-000000000000"`}, []string{`"01234567-89ab-0def-8123-456789abcdef"`}},
		"day":              {`{"type":"string","format":"date","pattern":"^` + day + `$"}`, []string{`"2024-02-29"`, `"2024-12-31"`}, []string{`"2023-02-29"`, `"0000-01-01"`}},
		"instant":          {`{"type":"string","format":"date-time","pattern":"^` + day + `T(?:` + hour + `(?:Z))$"}`, []string{`"2024-02-29T12:30:01Z"`, `"2024-12-31T00:00:00.25Z"`}, []string{`"2024-02-29T12:30:00+01:00"`, `"2024-02-30T12:30:00Z"`}},
		"local time":       {`{"type":"string","format":"time","pattern":"^` + hour + `$"}`, []string{`"12:30"`, `"12:30:59.5"`}, []string{`"12:30:00Z"`, `"24:00"`}},
		"year of a date":   {`{"format":"date","pattern":"^2024"}`, []string{`"2024-02-29"`}, []string{`"2025-01-01"`, `"2024x"`}},
		"secure uri":       {`{"type":"string","format":"uri","pattern":"^https://"}`, []string{`"https://a.bc/d?e"`}, []string{`"http://a.bc"`, `"https://a b"`, `"https://"`}},
		"unknown format":   {`{"type":"string","format":"cuid","pattern":"^[cC][a-z]{2,}$"}`, []string{`"cab"`}, []string{`"ab"`, `"ca"`}},
		"not empty base64": {`{"type":"string","format":"base64","contentEncoding":"base64","pattern":"^$|^(?:[0-9a-zA-Z+/]{4})*(?:(?:[0-9a-zA-Z+/]{2}==)|(?:[0-9a-zA-Z+/]{3}=))?$"}`, []string{`""`, `"YQ=="`, `"YWJj"`}, []string{`"Y"`, `"YQ="`}},
		"length":           {`{"type":"string","pattern":"^[a-z]+(-[a-z]+)*$","minLength":3,"maxLength":6}`, []string{`"abc"`, `"a-b"`, `"ab-cde"`}, []string{`"ab"`, `"abcdefg"`, `"ab-"`, `"-ab"`}},
		"least":            {`{"type":"string","pattern":"^[a-z]*$","minLength":2}`, []string{`"ab"`, `"abcdefghijk"`}, []string{`""`, `"a"`}},
		"length within":    {`{"type":"string","pattern":"b","maxLength":3}`, []string{`"b"`, `"abc"`, `"日本b"`, `"\"b\\"`}, []string{`"abcd"`, `"aaa"`, `"日本日b"`}},
		"implied length":   {`{"type":"string","pattern":"^[a-z]{3}$","minLength":1,"maxLength":50}`, []string{`"abc"`}, []string{`"ab"`, `"abcd"`}},
		"start":            {`{"type":"string","pattern":"^https:\\/\\/.*"}`, []string{`"https://"`, `"https://x"`}, []string{`"http://x"`, `"xhttps://"`}},
		"end":              {`{"type":"string","pattern":".*\\.pdf$"}`, []string{`"a.pdf"`}, []string{`"a.pd"`, `"a.pdf "`}},
		"start and length": {`{"type":"string","pattern":"^id_.*","minLength":5,"maxLength":8}`, []string{`"id_ab"`, `"id_abcde"`}, []string{`"id_a"`, `"id_abcdef"`, `"xd_ab"`}},
		"must hold":        {`{"type":"string","pattern":"^(?=.*[0-9])(?=.*[A-Z])[A-Za-z0-9]{4,8}$"}`, []string{`"A1bc"`, `"ab0Zcdef"`}, []string{`"abcd"`, `"A1b"`, `"ABCD"`, `"A1b-"`}},
		"a decimal":        {`{"type":"string","pattern":"^(?!^[-+.]*$)[+-]?0*\\d*\\.?\\d*$"}`, []string{`"1.50"`, `"-.5"`, `"007"`}, []string{`""`, `"-"`, `"+."`, `"1e5"`}},
		"a whole ahead":    {`{"type":"string","pattern":"^(?!(?:con|nul)$)[a-z]+$"}`, []string{`"cons"`, `"a"`}, []string{`"con"`, `"nul"`, `""`}},
		"uri of a length":  {`{"type":"string","format":"uri","minLength":1,"maxLength":2083}`, []string{`"https://example.com/a?b=c#d"`}, []string{`""`, `"example"`}},
		"email length":     {`{"type":"string","format":"email","maxLength":10}`, []string{`"a@bcd.efgh"`}, []string{`"a@bcd.efghi"`}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) { checkSchema(t, test.schema, test.yes, test.no) })
	}
}

// Random patterns, alone, in pairs or with a length, accept the strings that regexp matches.
func TestLanguagesAgreeWithRegexp(t *testing.T) {
	random := rand.New(rand.NewPCG(31, 32))
	var pattern func(depth int) string
	pattern = func(depth int) string {
		switch n := random.IntN(9); {
		case depth == 0 || n < 2:
			return []string{"a", "b", "[ab]", "[^a]", "c", "é", "[b-d]"}[random.IntN(7)]
		case n < 4:
			return pattern(depth-1) + pattern(depth-1)
		case n == 4:
			return "(" + pattern(depth-1) + "|" + pattern(depth-1) + ")"
		case n == 5:
			return "(" + pattern(depth-1) + ")*"
		case n == 6:
			return "(?:" + pattern(depth-1) + "){1,3}"
		case n == 7:
			return "(" + pattern(depth-1) + ")?"
		}
		return []string{"^", "", "$", "(a|^b)", "(^|c)", "(b|$)"}[random.IntN(6)] + pattern(depth-1)
	}
	anchors := func(text string) string {
		return []string{"", "^"}[random.IntN(2)] + "(" + text + ")" + []string{"", "$"}[random.IntN(2)]
	}
	for range 800 {
		first, second, ahead := anchors(pattern(3)), anchors(pattern(3)), pattern(2)
		one, other, not := regexp.MustCompile(first), regexp.MustCompile(second), regexp.MustCompile("^(?:"+ahead+")")
		least, most := random.IntN(4)-1, -1
		if random.IntN(2) == 0 {
			most = max(least, 0) + random.IntN(4)
		}
		c := &converter{refs: map[string]string{}, texts: map[string]string{}}
		looking := strings.HasPrefix(first, "^") && random.IntN(2) == 0
		if looking {
			first = "^(?!" + ahead + ")" + first[1:]
		}
		want := func(text string) bool {
			n := utf8.RuneCountInString(text)
			return one.MatchString(text) && other.MatchString(text) && (!looking || !not.MatchString(text)) && n >= least && (most < 0 || n <= most)
		}
		rule, err := c.language("#", []string{first, second}, least, most)
		var g *Grammar
		if err == nil {
			g = mustParse(t, "root ::= "+rule+"\n"+c.out.String())
		}
		for range 40 {
			text := ""
			for range random.IntN(7) {
				text += []string{"a", "b", "c", "d", "é", `"`}[random.IntN(6)]
			}
			got := false
			if g != nil {
				got, _ = accepts(t, g, quoteJSON(text))
			}
			if got != want(text) {
				t.Fatalf("%s and %s, length %d to %d: accepts %q: %t (%v)", first, second, least, most, text, got, err)
			}
		}
	}
}

// A length that every string of a format satisfies needs no rules, and the grammar can count the usual lengths.
func TestFormatsWithLength(t *testing.T) {
	for _, test := range []struct {
		format string
		most   int
		free   bool
	}{{"uri", 2083, true}, {"email", 1200, true}, {"email", 320, false}, {"email", 50, false}, {"hostname", 253, false}, {"date", 10, true}, {"date-time", 100, true},
		{"date-time", 25, false}, {"duration", 100, true}, {"ipv4", 15, true}, {"ipv6", 45, true}, {"uuid", 36, true}} {
		text, err := FromSchema(fmt.Appendf(nil, `{"format":%q,"minLength":1,"maxLength":%d}`, test.format, test.most))
		if rules := strings.Count(text, "::="); err != nil || test.free != (rules <= 3) {
			t.Errorf("%s of at most %d: %d rules, %v", test.format, test.most, rules, err)
		}
	}
}

// threadTime returns the processor time that the calling thread has used.
func threadTime(t *testing.T) time.Duration {
	t.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_THREAD, &usage); err != nil {
		t.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// The converter refuses expensive patterns quickly. The test measures the thread's own time, so that other work on the machine
// does not count.
func TestLanguageIsBounded(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for _, pattern := range []string{
		`^(a|b)*a(a|b){30}$`, `^(?=.*a.{12})(?=.*b.{12})(?=.*c.{12}).*$`, strings.Repeat("[a-z]{1000}", 500), `^(?!.*\\p{L}{50}\\p{Lu}{50}\\p{N}{40}).*$`,
		`^(((((a?){99})?){9})?)*$`, strings.Repeat("(?:", 200) + "a" + strings.Repeat(")?", 200), `^(?!` + strings.Repeat("(", 5000),
	} {
		for _, rest := range []string{``, `,"maxLength":500`, `,"format":"uri"`, `,"minLength":16384`} {
			start := threadTime(t)
			_, err := FromSchema([]byte(`{"type":"string","pattern":"` + pattern + `"` + rest + `}`))
			if spent := threadTime(t) - start; spent > 3*time.Second { // at most 0.2 s, 1.4 s under the race detector
				t.Errorf("%.60s%s: %v, %v", pattern, rest, spent, err)
			}
		}
	}
}
