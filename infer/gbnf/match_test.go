package gbnf

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// accepts reports whether a grammar accepts a whole text, and how many of its bytes it accepts.
func accepts(t testing.TB, g *Grammar, text string) (whole bool, prefix int) {
	t.Helper()
	m := g.Matcher()
	for i := range len(text) {
		ok, err := m.Accepts([]byte{text[i]})
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return false, i
		}
		if err := m.Advance([]byte{text[i]}); err != nil {
			t.Fatal(err)
		}
	}
	return m.Complete(), len(text)
}

func mustParse(t testing.TB, text string) *Grammar {
	t.Helper()
	g, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestMatch(t *testing.T) {
	tests := map[string]struct {
		grammar  string
		yes, no  []string
		unicodes bool
	}{
		"literal":         {`root ::= "ab\n"`, []string{"ab\n"}, []string{"", "ab", "ab\nc", "ba"}, false},
		"alternatives":    {"root ::= \"a\" | \"bc\" |\n \"bd\"", []string{"a", "bc", "bd"}, []string{"", "b", "abc"}, false},
		"empty":           {`root ::= "" | "a"`, []string{"", "a"}, []string{"aa"}, false},
		"star":            {`root ::= "a"* "b"`, []string{"b", "aaab"}, []string{"", "a", "ba"}, false},
		"plus":            {`root ::= [a-c]+`, []string{"a", "abcabc"}, []string{"", "d", "ad"}, false},
		"optional":        {`root ::= "a"? "b"?`, []string{"", "a", "b", "ab"}, []string{"ba", "aa"}, false},
		"times":           {`root ::= "a"{3}`, []string{"aaa"}, []string{"aa", "aaaa"}, false},
		"at least":        {`root ::= "a"{2,}`, []string{"aa", "aaaaa"}, []string{"a", ""}, false},
		"between":         {`root ::= "ab"{1,3}`, []string{"ab", "abab", "ababab"}, []string{"", "abababab"}, false},
		"zero times":      {`root ::= "x" "a"{0}`, []string{"x"}, []string{"xa"}, false},
		"group":           {"root ::= (\"a\"\n \"b\" # comment\n)+ \"c\"", []string{"abc", "ababc"}, []string{"c", "ab"}, false},
		"negated":         {`root ::= [^a-c\n]+`, []string{"xyz", "é日🎉"}, []string{"xa", "\n", "b"}, true},
		"any":             {`root ::= . .`, []string{"ab", "日本", "é\n", "🎉🎉"}, []string{"a", "abc"}, true},
		"range":           {`root ::= [à-ý😀-😏]+`, []string{"é", "😅", "à"}, []string{"þ", "😐", "a"}, true},
		"escapes":         {`root ::= "\x41\u00e9\U0001F389\"\\" [\]\-]`, []string{"Aé🎉\"\\]", "Aé🎉\"\\-"}, []string{"Aé🎉\"\\x"}, true},
		"nested":          {`root ::= "(" root ")" | "x"`, []string{"x", "((x))"}, []string{"((x)", "(x))", ""}, false},
		"left recursion":  {`root ::= root "+" "x" | "x"`, []string{"x", "x+x", "x+x+x"}, []string{"+x", "x+", ""}, false},
		"hidden left":     {"root ::= e root \"a\" | \"b\"\ne ::= n\nn ::= \"\"", []string{"b", "ba", "baa"}, []string{"a", "ab"}, false},
		"ambiguous":       {`root ::= "x" | root root`, []string{"x", "xx", "xxxxxxxx"}, []string{"", "y", "xy"}, false},
		"doubling":        {`root ::= "x" | "x" root "y" | "x" root "z"`, []string{"x", "xxy", "xxxzy"}, []string{"xy", "xxx", "xxyy"}, false},
		"optional tower":  {"root ::= a a \"!\"\na ::= | b b\nb ::= | c c\nc ::= | d d\nd ::= | \"d\"", []string{"!", "d!", strings.Repeat("d", 16) + "!"}, []string{"", strings.Repeat("d", 17) + "!"}, false},
		"tail recursion":  {"root ::= item rest\nrest ::= | \",\" item rest\nitem ::= [0-9]", []string{"1", "1,2,3"}, []string{"1,", ",1", "12"}, false},
		"empty loop":      {`root ::= ("" | "a"?)* "b"`, []string{"b", "aab"}, []string{"a", "bb"}, false},
		"mutual":          {"root ::= a\na ::= b \"1\" | \"2\"\nb ::= a \"3\" | \"4\"", []string{"2", "41", "231", "4131"}, []string{"1", "21", "4", "413"}, false},
		"self at the end": {`root ::= "a" root?`, []string{"a", "aaaa"}, []string{"", "ab"}, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			g := mustParse(t, test.grammar)
			for _, text := range test.yes {
				if ok, n := accepts(t, g, text); !ok {
					t.Errorf("%q is refused, %d bytes fit", text, n)
				}
			}
			for _, text := range test.no {
				if ok, _ := accepts(t, g, text); ok {
					t.Errorf("%q is accepted", text)
				}
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	for name, test := range map[string]struct{ grammar, want string }{
		"empty":           {"", `no rule "root"`},
		"no root":         {`a ::= "b"`, `no rule "root"`},
		"undefined":       {`root ::= other`, `uses rule "other", which it does not define`},
		"twice":           {"root ::= \"a\"\nroot ::= \"b\"", "line 2: rule \"root\" is defined twice"},
		"unclosed string": {"root ::= \"a\n", `a closing " is missing`},
		"unclosed class":  {`root ::= [a`, "a closing ] is missing"},
		"unclosed group":  {`root ::= ("a"`, "a closing ) is missing"},
		"stray":           {`root ::= "a" )`, `unexpected ')'`},
		"empty class":     {`root ::= []`, "class is empty"},
		"nothing left":    {`root ::= [^\x00-\U0010ffff]`, "class is empty"},
		"surrogate":       {`root ::= "\ud800"`, "is not a character"},
		"reversed range":  {`root ::= [z-a]`, "is empty"},
		"reversed bounds": {`root ::= "a"{5,2}`, "at least 5 and at most 2"},
		"many times":      {`root ::= "a"{99999999999999999999}`, "repetitions"},
		"bomb":            {`root ::= ((("a"{1000}){1000}){1000}){1000}`, "more than"},
		"star bomb":       {`root ::= "a"` + strings.Repeat("*", 100000), "repetitions of repetitions"},
		"nothing to star": {`root ::= *`, "nothing to repeat"},
		"deep":            {`root ::= ` + strings.Repeat("(", 100000) + `"a"` + strings.Repeat(")", 100000), "nested more than"},
		"token":           {`root ::= <[5]>`, "not supported"},
		"bad escape":      {`root ::= "\q"`, "unknown escape"},
		"bad hex":         {`root ::= "\xg1"`, "hexadecimal"},
		"beyond unicode":  {`root ::= "\U00110000"`, "beyond the last character"},
		"never ends":      {`root ::= "a" root`, "can never end"},
		"may never end":   {"root ::= \"a\" | b\nb ::= \"x\" b", "rule b: can never end"},
		"only itself":     {`root ::= root`, "can never end"},
		"invalid utf-8":   {"root ::= \"\xff\"", "not valid UTF-8"},
		"nul":             {"root ::= \"\x00\"", "NUL"},
		"long":            {"root ::= \"a\" #" + strings.Repeat("x", MaxGrammarBytes), "bytes"},
		"many rules":      {manyRules(maxRules + 1), "rules"},
		"no definition":   {`root = "a"`, "::= is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse(test.grammar)
			var refused *Error
			if !errors.As(err, &refused) || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("Parse: %v, want one line with %q", err, test.want)
			}
		})
	}
}

func manyRules(n int) string {
	var b strings.Builder
	b.WriteString("root ::= \"a\"\n")
	for i := range n {
		fmt.Fprintf(&b, "r%d ::= \"a\"\n", i)
	}
	return b.String()
}

// The matcher handles a text with exponentially many parses in bounded time, or refuses it. It never hangs.
func TestAmbiguityIsBounded(t *testing.T) {
	tower := "root ::= r0 \"!\"\n"
	for i := range 60 {
		tower += fmt.Sprintf("r%d ::= | r%d r%d\n", i, i+1, i+1)
	}
	tower += "r60 ::= | \"x\"\n"
	for name, grammar := range map[string]string{
		"tower":    tower,
		"doubling": `root ::= "x" | "x" root "y" | "x" root "z"`,
		"catalan":  `root ::= "x" | root root | root root root`,
		"stars":    `root ::= ("x"* "x"* "x"* "x"*)* "!"`,
		"options":  "root ::= a a a a a a a a\na ::= b? b? b? b? b? b? b? b?\nb ::= \"x\"? \"x\"? \"x\"?",
	} {
		t.Run(name, func(t *testing.T) {
			g := mustParse(t, grammar)
			m := g.Matcher()
			steps, exhausted := 0, false
			for range 150 {
				ok, err := m.Accepts([]byte("x"))
				if err != nil {
					if !errors.Is(err, ErrBudget) {
						t.Fatal(err)
					}
					exhausted = true
					break
				}
				if !ok || m.Advance([]byte("x")) != nil {
					break
				}
				steps++
			}
			t.Logf("%d characters, budget exhausted: %t", steps, exhausted)
			if steps < 100 && !exhausted {
				t.Errorf("%d characters were matched, want at least 100", steps)
			}
		})
	}
}

// Allowed finds the tokens that Accepts allows one by one.
func TestAllowed(t *testing.T) {
	pieces := []string{"", "a", "b", "ab", "abc", "{", "}", "\"", "{\"", "\":", " ", "\n", "1", "12", "é", "\xc3", "\xa9", "日", "\xe6\x97", "a", "true", "tr", "ue"}
	v := NewVocabulary(len(pieces), func(t int) []byte { return []byte(pieces[t]) })
	random := rand.New(rand.NewPCG(1, 2))
	for _, grammar := range []string{
		`root ::= [ab]* "c"`, `root ::= "{" ws ("\"" [^"]* "\":" ws ("true" | [0-9]+))? "}"` + "\nws ::= [ \\n]*", `root ::= [é日]+ "a"`, `root ::= . root?`,
	} {
		g := mustParse(t, grammar)
		for range 50 {
			m := g.Matcher()
			for range 8 {
				var want []int
				for token, piece := range pieces {
					if ok, err := m.Accepts([]byte(piece)); err != nil {
						t.Fatal(err)
					} else if ok {
						want = append(want, token)
					}
				}
				var got []int
				if err := m.Allowed(v, func(token int) { got = append(got, token) }); err != nil {
					t.Fatal(err)
				}
				slices.Sort(got)
				if !slices.Equal(got, want) {
					t.Fatalf("%s: allowed %v, one by one %v", grammar, got, want)
				}
				if len(want) == 0 {
					break
				}
				if err := m.Advance([]byte(pieces[want[random.IntN(len(want))]])); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

// Inside a JSON string every character leads back to one state, so a step allocates nothing.
func TestStatesAreReused(t *testing.T) {
	g := mustParse(t, "root ::= \"\\\"\" char* \"\\\"\"\nchar ::= [^\"\\\\] | \"\\\\\" [nt]")
	m := g.Matcher()
	if err := m.Advance([]byte(`"abc`)); err != nil {
		t.Fatal(err)
	}
	piece := []byte("some words, é日🎉, more\\n")
	if err := m.Advance(piece); err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() {
		if err := m.Advance(piece); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations for known states", n)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(`root ::= "a" | [b-d]* (root "x")?{2,3}`, "abx")
	f.Add("root ::= a\na ::= b \"1\" | \"2\"\nb ::= a \"3\" | .", "231")
	f.Fuzz(func(t *testing.T, grammar, text string) {
		g, err := Parse(grammar)
		if err != nil {
			var refused *Error
			if !errors.As(err, &refused) || strings.ContainsAny(refused.Where, "\n\x00") {
				t.Fatalf("Parse: %v", err)
			}
			return
		}
		m := g.Matcher()
		for i := range len(text) {
			ok, err := m.Accepts([]byte{text[i]})
			if err != nil || !ok {
				return
			}
			if err := m.Advance([]byte{text[i]}); err != nil {
				t.Fatalf("Advance after Accepts: %v", err)
			}
			if m.Ended() && !m.Complete() {
				t.Fatal("a text that can neither continue nor end")
			}
		}
	})
}
