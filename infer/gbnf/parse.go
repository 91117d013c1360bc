package gbnf

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// expr is a part of a rule's right side.
type expr struct {
	kind     kind
	parts    []*expr // of a sequence or of alternatives; one part of a repetition
	set      runeSet // of a character
	rule     int     // of a reference
	min, max int     // of a repetition; max < 0: no limit
}

type kind uint8

const (
	sequence kind = iota
	alternatives
	repetition
	character
	reference
)

// parser reads a grammar. Positions are bytes of text.
type parser struct {
	text    string
	at      int
	names   []string
	index   map[string]int
	rules   []*expr // by index; nil for a rule that is used but not yet defined
	nesting int
}

// parse reads all rules.
func parse(text string) (*parser, error) {
	if len(text) > MaxGrammarBytes {
		return nil, errorf("grammar", "has %d bytes, at most %d are allowed", len(text), MaxGrammarBytes)
	}
	if !utf8.ValidString(text) || strings.IndexByte(text, 0) >= 0 {
		return nil, errorf("grammar", "is not valid UTF-8 without NUL")
	}
	p := &parser{text: text, index: map[string]int{}}
	p.space(true)
	for p.at < len(p.text) {
		if err := p.parseRule(); err != nil {
			return nil, err
		}
	}
	if root, ok := p.index["root"]; !ok || p.rules[root] == nil {
		return nil, errorf("grammar", `has no rule "root"`)
	}
	for i, r := range p.rules {
		if r == nil {
			return nil, errorf("grammar", "uses rule %q, which it does not define", p.names[i])
		}
	}
	return p, nil
}

func (p *parser) fail(format string, args ...any) error {
	return errorf(fmt.Sprintf("line %d", 1+strings.Count(p.text[:min(p.at, len(p.text))], "\n")), format, args...)
}

// peek returns the next byte, or 0 at the end.
func (p *parser) peek() byte {
	if p.at < len(p.text) {
		return p.text[p.at]
	}
	return 0
}

// space skips blanks and comments. With newlines it also skips line ends.
func (p *parser) space(newlines bool) {
	for p.at < len(p.text) {
		switch c := p.text[p.at]; {
		case c == ' ' || c == '\t' || newlines && (c == '\n' || c == '\r'):
			p.at++
		case c == '#':
			for p.at < len(p.text) && p.text[p.at] != '\n' && p.text[p.at] != '\r' {
				p.at++
			}
		default:
			return
		}
	}
}

func isWord(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-'
}

// name reads a rule's name and returns its index.
func (p *parser) name() (int, error) {
	start := p.at
	for isWord(p.peek()) {
		p.at++
	}
	if p.at == start {
		return 0, p.fail("a rule's name is missing")
	}
	name := p.text[start:p.at]
	i, ok := p.index[name]
	if !ok {
		if i = len(p.names); i == maxRules {
			return 0, p.fail("more than %d rules", maxRules)
		}
		p.index[name] = i
		p.names = append(p.names, name)
		p.rules = append(p.rules, nil)
	}
	return i, nil
}

func (p *parser) parseRule() error {
	i, err := p.name()
	if err != nil {
		return err
	}
	p.space(false)
	if !strings.HasPrefix(p.text[p.at:], "::=") {
		return p.fail("::= is missing after the name %q", p.names[i])
	}
	if p.rules[i] != nil {
		return p.fail("rule %q is defined twice", p.names[i])
	}
	p.at += len("::=")
	p.space(true)
	body, err := p.alternatives(false)
	if err != nil {
		return err
	}
	p.rules[i] = body
	if c := p.peek(); c != 0 && c != '\n' && c != '\r' {
		return p.fail("unexpected %q", c)
	}
	p.space(true)
	return nil
}

func (p *parser) alternatives(nested bool) (*expr, error) {
	if p.nesting++; p.nesting > maxNesting {
		return nil, p.fail("brackets are nested more than %d levels deep", maxNesting)
	}
	defer func() { p.nesting-- }()
	first, err := p.sequence(nested)
	if err != nil {
		return nil, err
	}
	all := []*expr{first}
	for p.peek() == '|' {
		p.at++
		p.space(true)
		next, err := p.sequence(nested)
		if err != nil {
			return nil, err
		}
		all = append(all, next)
	}
	if len(all) == 1 {
		return first, nil
	}
	return &expr{kind: alternatives, parts: all}, nil
}

func (p *parser) sequence(nested bool) (*expr, error) {
	seq := &expr{kind: sequence}
	for {
		item, err := p.item()
		if err != nil {
			return nil, err
		}
		if item == nil {
			return seq, nil
		}
		p.space(nested)
		for times := 0; p.peek() != 0 && strings.IndexByte("*+?{", p.peek()) >= 0; times++ {
			if times == maxNesting {
				return nil, p.fail("more than %d repetitions of repetitions", maxNesting)
			}
			if item, err = p.repeat(item); err != nil {
				return nil, err
			}
			p.space(nested)
		}
		seq.parts = append(seq.parts, item)
	}
}

// item reads one element without its repetition. It returns nil at the end of the sequence.
func (p *parser) item() (*expr, error) {
	switch c := p.peek(); {
	case c == '"':
		return p.literal()
	case c == '[':
		return p.class()
	case c == '.':
		p.at++
		return &expr{kind: character, set: runeSet{{0, utf8.MaxRune}}.valid()}, nil
	case c == '(':
		p.at++
		p.space(true)
		inner, err := p.alternatives(true)
		if err != nil {
			return nil, err
		}
		if p.peek() != ')' {
			return nil, p.fail("a closing ) is missing")
		}
		p.at++
		return inner, nil
	case isWord(c):
		rule, err := p.name()
		return &expr{kind: reference, rule: rule}, err
	case c == '<' || c == '!':
		return nil, p.fail("tokens in a grammar are not supported")
	case c == '*' || c == '+' || c == '?' || c == '{':
		return nil, p.fail("%q has nothing to repeat", c)
	}
	return nil, nil
}

func (p *parser) literal() (*expr, error) {
	p.at++
	seq := &expr{kind: sequence}
	for {
		switch p.peek() {
		case 0, '\n', '\r':
			return nil, p.fail(`a closing " is missing`)
		case '"':
			p.at++
			return seq, nil
		}
		r, err := p.char()
		if err != nil {
			return nil, err
		}
		set := runeSet{{r, r}}.valid()
		if len(set) == 0 {
			return nil, p.fail("%U is not a character", r)
		}
		seq.parts = append(seq.parts, &expr{kind: character, set: set})
	}
}

func (p *parser) class() (*expr, error) {
	p.at++
	negated := p.peek() == '^'
	if negated {
		p.at++
	}
	var set runeSet
	for p.peek() != ']' {
		if p.peek() == 0 {
			return nil, p.fail("a closing ] is missing")
		}
		from, err := p.char()
		if err != nil {
			return nil, err
		}
		to := from
		if rest := p.text[p.at:]; len(rest) > 1 && rest[0] == '-' && rest[1] != ']' {
			p.at++
			if to, err = p.char(); err != nil {
				return nil, err
			}
			if to < from {
				return nil, p.fail("the range %U-%U is empty", from, to)
			}
		}
		set = append(set, runeRange{from, to})
	}
	p.at++
	if set = set.sorted(); negated {
		set = set.inverted()
	}
	if set = set.valid(); len(set) == 0 {
		return nil, p.fail("the character class is empty")
	}
	return &expr{kind: character, set: set}, nil
}

// char reads a character, escaped or not.
func (p *parser) char() (rune, error) {
	if p.peek() != '\\' {
		r, size := utf8.DecodeRuneInString(p.text[p.at:])
		p.at += size
		return r, nil
	}
	p.at++
	c := p.peek()
	p.at++
	switch c {
	case 'x':
		return p.hex(2)
	case 'u':
		return p.hex(4)
	case 'U':
		return p.hex(8)
	case 't':
		return '\t', nil
	case 'r':
		return '\r', nil
	case 'n':
		return '\n', nil
	case '\\', '"', '[', ']', '-', '^':
		return rune(c), nil
	}
	return 0, p.fail("unknown escape")
}

func (p *parser) hex(digits int) (rune, error) {
	value := rune(0)
	for range digits {
		c := p.peek()
		p.at++
		switch {
		case c >= '0' && c <= '9':
			value = value<<4 | rune(c-'0')
		case c >= 'a' && c <= 'f':
			value = value<<4 | rune(c-'a'+10)
		case c >= 'A' && c <= 'F':
			value = value<<4 | rune(c-'A'+10)
		default:
			return 0, p.fail("an escape needs %d hexadecimal digits", digits)
		}
	}
	if value < 0 || value > utf8.MaxRune {
		return 0, p.fail("%#x is beyond the last character", uint32(value))
	}
	return value, nil
}

func (p *parser) repeat(item *expr) (*expr, error) {
	c := p.peek()
	p.at++
	r := &expr{kind: repetition, parts: []*expr{item}, max: -1}
	switch c {
	case '+':
		r.min = 1
	case '?':
		r.max = 1
	case '{':
		var err error
		if r.min, r.max, err = p.bounds(); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// bounds reads the rest of a repetition after the {: n}, n,} or n,m}.
func (p *parser) bounds() (least, most int, err error) {
	if least, err = p.number(); err != nil {
		return 0, 0, err
	}
	most = least
	if p.peek() == ',' {
		p.at++
		p.space(false)
		most = -1
		if p.peek() != '}' {
			if most, err = p.number(); err != nil {
				return 0, 0, err
			}
			if most < least {
				return 0, 0, p.fail("a repetition of at least %d and at most %d is empty", least, most)
			}
		}
	}
	if p.peek() != '}' {
		return 0, 0, p.fail("a closing } is missing")
	}
	p.at++
	return least, most, nil
}

func (p *parser) number() (int, error) {
	p.space(false)
	start, n := p.at, 0
	for c := p.peek(); c >= '0' && c <= '9'; c = p.peek() {
		if n = 10*n + int(c-'0'); n > maxRepetitions {
			return 0, p.fail("more than %d repetitions", maxRepetitions)
		}
		p.at++
	}
	if p.at == start {
		return 0, p.fail("the number of repetitions is missing")
	}
	p.space(false)
	return n, nil
}
