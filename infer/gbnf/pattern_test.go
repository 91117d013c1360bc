package gbnf

import (
	"errors"
	"testing"
)

func TestFromPattern(t *testing.T) {
	for pattern, test := range map[string]struct{ yes, no []string }{
		`\d{3}-[a-c]+(x|yz)?`:         {[]string{"123-ab", "000-cyz"}, []string{"12-a", "x123-a", "123-ad", ""}},
		`^(yes|no)$`:                  {[]string{"yes", "no"}, []string{"ye", "yesno", `"yes"`}},
		`(?i)ok\.`:                    {[]string{"ok.", "OK."}, []string{"okx"}},
		`a.b`:                         {[]string{`a"b`, "aéb", "a\tb"}, []string{"a\nb", "ab"}},
		`a[\s\S]b`:                    {[]string{"a\nb", `a\b`}, []string{"ab"}},
		``:                            {[]string{""}, []string{"a"}},
		`(red|dark green|a"b\\|日本\n)`: {[]string{"red", "dark green", `a"b\`, "日本\n"}, []string{"dark"}},
	} {
		text, err := FromPattern(pattern)
		if err != nil {
			t.Errorf("%s: %v", pattern, err)
			continue
		}
		g := mustParse(t, text)
		for _, value := range test.yes {
			if ok, n := accepts(t, g, value); !ok {
				t.Errorf("%s refuses %q, %d bytes fit:\n%s", pattern, value, n, text)
			}
		}
		for _, value := range test.no {
			if ok, _ := accepts(t, g, value); ok {
				t.Errorf("%s accepts %q:\n%s", pattern, value, text)
			}
		}
	}
}

func TestFromPatternRefuses(t *testing.T) {
	for _, pattern := range []string{`(`, `a(?=b)`, `(?<!a)b`, `a\bc`, `a^b`, `^a|b$`, `(a)\1`, `[^\x00-\x{10FFFF}]`, `((a{1000}){1000})`} {
		var refused *Error
		if text, err := FromPattern(pattern); !errors.As(err, &refused) {
			t.Errorf("%s gives %.100q, error %v, want an *Error", pattern, text, err)
		}
	}
}

func FuzzFromPattern(f *testing.F) {
	f.Add(`^(\d{1,3}|[a-f]+)\.(?i:x)?$`)
	f.Add("a.b|")
	f.Fuzz(func(t *testing.T, pattern string) {
		text, err := FromPattern(pattern)
		if err != nil {
			return
		}
		if _, err := Parse(text); err != nil {
			t.Fatalf("the grammar of %q does not parse: %v", pattern, err)
		}
	})
}
