package gbnf

import (
	"encoding/binary"
	"fmt"
	"regexp/syntax"
	"slices"
	"strings"
	"unicode/utf8"
)

// Limits of what language takes on. A step takes some 50 ns, those of a whole schema some 0.1 s.
const (
	maxPlaces = 1 << 12 // of a regular expression, its repetitions written out
	maxStates = 1 << 12 // of the automaton; a bound on the length counts each of its characters
	maxSteps  = 1 << 21 // places looked at, for all strings of a schema
)

// language writes the JSON strings of a length in which each of some regular expressions matches, those with lookaheads
// at their start among them, by an automaton that follows all of them at once. Each of its states becomes a rule.
func (c *converter) language(where string, expressions []string, least, most int) (string, error) {
	key := fmt.Sprintf("language %q %d %d", expressions, least, most)
	if name, ok := c.texts[key]; ok {
		return name, nil
	}
	a := automaton{least: max(least, 0), most: most, index: map[string]int{}, steps: c.steps}
	defer func() { c.steps = a.steps }()
	for _, text := range expressions {
		if err := a.add(where, text); err != nil {
			return "", err
		}
	}
	if !a.classify() || !a.build() {
		return "", errorf(where, "pattern, format and length together need too large a grammar: a shorter pattern, or a length on its own, can be held")
	}
	useful := a.useful()
	if !useful[0] {
		return "", errorf(where, "no string fits pattern, format and length together")
	}
	names := make([]string, len(a.states))
	for i := range names {
		if useful[i] {
			names[i] = c.fresh()
		}
	}
	for i, s := range a.states {
		if useful[i] {
			fmt.Fprintf(&c.out, "%s ::= %s\n", names[i], c.transitions(&a, s, names))
		}
	}
	c.texts[key] = c.rule(`"\"" ` + names[0] + ` "\""`)
	return c.texts[key], nil
}

// transitions writes the ways to go on from a state; names are "" for states that lead nowhere.
func (c *converter) transitions(a *automaton, s automatonState, names []string) string {
	var ways []string
	var order []int // states, by the first class that leads there
	sets := map[int]runeSet{}
	for class, to := range s.next {
		if to < 0 || names[to] == "" {
			continue
		}
		if sets[to] == nil {
			order = append(order, to)
		}
		sets[to] = append(sets[to], a.classes[class]...)
	}
	for _, to := range order {
		text := jsonClass(sets[to])
		if len(text) > 64 {
			text = c.rule(text) + " "
		}
		ways = append(ways, text+names[to])
	}
	if s.accept {
		ways = append(ways, `""`)
	}
	return strings.Join(ways, " | ")
}

// automaton follows several regular expressions through a string at once, and counts its characters.
type automaton struct {
	parts       []part
	least, most int       // characters; most is -1 when there is no bound
	classes     []runeSet // characters that no part tells apart
	states      []automatonState
	index       map[string]int // states by what they stand for
	steps       int
}

type automatonState struct {
	next   []int // by class; -1: nowhere
	accept bool
}

// part is a regular expression that must match, or must not.
type part struct {
	prog    *syntax.Prog
	negated bool
	takes   [][]bool // by instruction, by class; nil for those that take no character
}

// place is where a string may be: places in each part, and how many of its characters count for its length.
type place struct {
	at    [][]uint32 // instructions, sorted; done alone when the part matches whatever follows
	count int
	begin bool
}

const done = ^uint32(0)

// add takes a regular expression apart into its lookaheads and the rest.
func (a *automaton) add(where, text string) error {
	rest := text
	for strings.HasPrefix(rest, "^(?=") || strings.HasPrefix(rest, "^(?!") {
		end, alternatives := closing(rest[1:])
		if end < 0 || alternatives {
			return errorf(where, lookaheads)
		}
		inside := rest[len("^(?="):end]
		if err := a.addPart(where, "^(?:"+inside+")", rest[3] == '!'); err != nil {
			return err
		}
		rest = "^" + rest[end+1:]
	}
	return a.addPart(where, rest, false)
}

const lookaheads = "a lookahead is supported only at the start of a pattern that has no | outside brackets"

// parsePattern reads a regular expression without lookaheads.
func parsePattern(where, text string) (*syntax.Regexp, error) {
	expression, err := syntax.Parse(text, syntax.Perl)
	switch {
	case err != nil && (strings.Contains(text, "(?=") || strings.Contains(text, "(?!")):
		return nil, errorf(where, lookaheads)
	case err != nil:
		return nil, errorf(where, "%s", err)
	}
	return expression, nil
}

// closing finds the end, counted with a character before it, of the bracket that text begins with, and tells whether
// there are alternatives outside brackets after it.
func closing(text string) (end int, alternatives bool) {
	depth, class := 0, false
	for i := 0; i < len(text); i++ {
		switch b := text[i]; {
		case b == '\\':
			i++
		case class:
			class = b != ']'
		case b == '[':
			class = true
			if strings.HasPrefix(text[i+1:], "^") {
				i++
			}
			if strings.HasPrefix(text[i+1:], "]") {
				i++ // the first character of a class
			}
		case b == '(':
			depth++
		case b == ')':
			if depth--; depth == 0 && end == 0 {
				end = i + 1
			}
		case b == '|' && depth == 0:
			alternatives = true
		}
	}
	if end == 0 {
		return -1, false
	}
	return end, alternatives
}

func (a *automaton) addPart(where, text string, negated bool) error {
	expression, err := parsePattern(where, text)
	if err != nil {
		return err
	}
	places, err := weight(where, expression)
	if err != nil {
		return err
	}
	if places > maxPlaces {
		return errorf(where, "the pattern has more than %d places, its repetitions written out", maxPlaces)
	}
	prog, err := syntax.Compile(expression.Simplify())
	if err != nil {
		return errorf(where, "%s", err)
	}
	a.parts = append(a.parts, part{prog: prog, negated: negated})
	return nil
}

// weight counts the places of a regular expression, its repetitions written out, and refuses what an automaton cannot follow.
func weight(where string, r *syntax.Regexp) (int, error) {
	n := 1
	switch r.Op {
	case syntax.OpLiteral:
		n = len(r.Rune)
	case syntax.OpBeginLine, syntax.OpEndLine, syntax.OpWordBoundary, syntax.OpNoWordBoundary:
		return 0, errorf(where, "%q is not supported within a pattern", r.String())
	}
	for _, sub := range r.Sub {
		inner, err := weight(where, sub)
		if err != nil {
			return 0, err
		}
		n = min(n+inner, maxPlaces+1)
	}
	if r.Op == syntax.OpRepeat {
		n = min(n*max(r.Min, r.Max, 1), maxPlaces+1)
	}
	return n, nil
}

// writable are the characters that jsonClass writes.
var writable = runeSet{{'\t', '\n'}, {'\r', '\r'}, {' ', 0x7e}, {0x80, utf8.MaxRune}}.valid()

// classify divides the writable characters into classes; it tells whether that is soon done.
func (a *automaton) classify() bool {
	// Sets of characters, each once: repetitions have many copies.
	sets := []runeSet{writable}
	indexes := map[string]int{}
	set := make([][]int, len(a.parts)) // by instruction; -1: none
	for i, p := range a.parts {
		set[i] = make([]int, len(p.prog.Inst))
		for j := range p.prog.Inst {
			runes := characters(&p.prog.Inst[j], p.negated)
			if runes == nil {
				set[i][j] = -1
				continue
			}
			key := fmt.Sprint(runes)
			if _, ok := indexes[key]; !ok {
				indexes[key] = len(sets)
				sets = append(sets, runes)
			}
			set[i][j] = indexes[key]
		}
	}
	var starts []rune
	for _, runes := range sets {
		for _, r := range runes {
			starts = append(starts, r.low, r.high+1)
		}
	}
	slices.Sort(starts)
	starts = slices.Compact(starts)
	if a.steps += len(starts) * len(sets); a.steps > maxSteps {
		return false
	}
	classes := map[string]int{}
	var members [][]bool // by class, by set
	for i, low := range starts[:len(starts)-1] {
		if !writable.has(low) {
			continue
		}
		in, key := make([]bool, len(sets)), make([]byte, len(sets))
		for j, runes := range sets {
			if in[j] = runes.has(low); in[j] {
				key[j] = 1
			}
		}
		class, ok := classes[string(key)]
		if !ok {
			class = len(a.classes)
			classes[string(key)] = class
			a.classes = append(a.classes, nil)
			members = append(members, in)
		}
		a.classes[class] = append(a.classes[class], runeRange{low, starts[i+1] - 1})
	}
	for i, p := range a.parts {
		takes := make([][]bool, len(p.prog.Inst))
		shared := map[int][]bool{}
		for j, s := range set[i] {
			if s < 0 {
				continue
			}
			if shared[s] == nil {
				shared[s] = make([]bool, len(a.classes))
				for class := range a.classes {
					shared[s][class] = members[class][s]
				}
			}
			takes[j] = shared[s]
		}
		a.parts[i].takes = takes
	}
	return true
}

// characters are those that an instruction takes; nil when it takes none. A dot takes no line end where it must match,
// and all but one where it must not: notations differ in what else it leaves out.
func characters(inst *syntax.Inst, negated bool) runeSet {
	switch inst.Op {
	case syntax.InstRune1:
		return runeSet{{inst.Rune[0], inst.Rune[0]}}
	case syntax.InstRuneAnyNotNL, syntax.InstRuneAny:
		if negated {
			return runeSet{{0, '\n' - 1}, {'\n' + 1, utf8.MaxRune}}
		}
		return runeSet{{' ', utf8.MaxRune}}
	case syntax.InstRune:
		if len(inst.Rune) == 1 {
			return letter(inst.Rune[0], syntax.Flags(inst.Arg)&syntax.FoldCase != 0)
		}
		set := runeSet{}
		for i := 0; i+1 < len(inst.Rune); i += 2 {
			set = append(set, runeRange{inst.Rune[i], inst.Rune[i+1]})
		}
		return set
	}
	return nil
}

// has tells whether a character is in a sorted set.
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

// build makes all states that a string may reach; it tells whether they are few enough.
func (a *automaton) build() bool {
	first := place{begin: true}
	for _, p := range a.parts {
		first.at = append(first.at, a.follow(p, []uint32{uint32(p.prog.Start)}, true, false))
	}
	places := []place{first}
	a.states = []automatonState{{accept: a.accepts(first)}}
	for i := 0; i < len(places); i++ {
		next := make([]int, len(a.classes))
		for class := range a.classes {
			to, ok := a.step(places[i], class)
			if next[class] = -1; !ok {
				continue
			}
			key := to.key()
			at, known := a.index[key]
			if !known {
				at = len(places)
				a.index[key] = at
				places = append(places, to)
				a.states = append(a.states, automatonState{accept: a.accepts(to)})
			}
			next[class] = at
			if len(places) > maxStates || a.steps > maxSteps {
				return false
			}
		}
		a.states[i].next = next
	}
	return true
}

// key is the same for the same places.
func (p place) key() string {
	b := binary.AppendUvarint(nil, uint64(p.count))
	for _, at := range p.at {
		b = binary.AppendUvarint(b, uint64(len(at)))
		for _, pc := range at {
			b = binary.AppendUvarint(b, uint64(pc))
		}
	}
	return string(b)
}

// step goes on by one character of a class, if anything can come of it.
func (a *automaton) step(from place, class int) (place, bool) {
	to := place{count: from.count}
	if a.most >= 0 && from.count == a.most {
		return to, false
	}
	if a.most >= 0 || from.count < a.least {
		to.count++
	}
	for i, p := range a.parts {
		at := from.at[i]
		if len(at) != 1 || at[0] != done {
			a.steps += len(at)
			next := []uint32{uint32(p.prog.Start)} // a match may also begin here
			for _, pc := range at {
				if takes := p.takes[pc]; takes != nil && takes[class] {
					next = append(next, p.prog.Inst[pc].Out)
				}
			}
			at = a.follow(p, next, false, false)
		}
		if matched := len(at) == 1 && at[0] == done; matched && p.negated || len(at) == 0 && !p.negated {
			return to, false
		}
		to.at = append(to.at, at)
	}
	return to, true
}

// follow goes on from instructions to those that take a character or wait for the end, or to a match alone.
func (a *automaton) follow(p part, todo []uint32, begin, end bool) []uint32 {
	seen := make(map[uint32]bool, len(todo))
	var out []uint32
	for len(todo) > 0 {
		pc := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if seen[pc] {
			continue
		}
		seen[pc] = true
		a.steps++
		switch inst := &p.prog.Inst[pc]; inst.Op {
		case syntax.InstMatch:
			return []uint32{done}
		case syntax.InstAlt, syntax.InstAltMatch:
			todo = append(todo, inst.Out, inst.Arg)
		case syntax.InstCapture, syntax.InstNop:
			todo = append(todo, inst.Out)
		case syntax.InstEmptyWidth:
			switch op := syntax.EmptyOp(inst.Arg); {
			case op&syntax.EmptyBeginText != 0 && !begin:
			case op&syntax.EmptyEndText != 0 && !end:
				out = append(out, pc)
			default:
				todo = append(todo, inst.Out)
			}
		case syntax.InstFail:
		default:
			out = append(out, pc)
		}
	}
	slices.Sort(out)
	return out
}

// accepts tells whether a string may end at a place.
func (a *automaton) accepts(at place) bool {
	if at.count < a.least {
		return false
	}
	for i, p := range a.parts {
		now := at.at[i]
		if len(now) != 1 || now[0] != done {
			now = a.follow(p, slices.Clone(now), at.begin, true)
		}
		if matched := len(now) == 1 && now[0] == done; matched == p.negated {
			return false
		}
	}
	return true
}

// useful tells from which states a string can come to an end.
func (a *automaton) useful() []bool {
	before := make([][]int, len(a.states))
	ends := make([]bool, len(a.states))
	var todo []int
	for i, s := range a.states {
		for _, to := range s.next {
			if to >= 0 && (len(before[to]) == 0 || before[to][len(before[to])-1] != i) {
				before[to] = append(before[to], i)
			}
		}
		if s.accept {
			ends[i] = true
			todo = append(todo, i)
		}
	}
	for len(todo) > 0 {
		at := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		for _, i := range before[at] {
			if !ends[i] {
				ends[i] = true
				todo = append(todo, i)
			}
		}
	}
	return ends
}

// lengths tells how many characters a string has at least and at most in which a regular expression matches; longest is -1
// when there is no bound.
func lengths(r *syntax.Regexp) (shortest, longest int) {
	for r.Op == syntax.OpCapture {
		r = r.Sub[0]
	}
	shortest, longest = matchLengths(r)
	if n := len(r.Sub); r.Op != syntax.OpConcat || r.Sub[0].Op != syntax.OpBeginText || r.Sub[n-1].Op != syntax.OpEndText {
		longest = -1 // anything may stand around the match
	}
	return shortest, longest
}

func matchLengths(r *syntax.Regexp) (shortest, longest int) {
	const many = maxRepetitions + 1
	least, most := 1, 1 // times that the inner expressions are there
	switch r.Op {
	case syntax.OpLiteral:
		return len(r.Rune), len(r.Rune)
	case syntax.OpCharClass, syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return 1, 1
	case syntax.OpAlternate:
		for i, sub := range r.Sub {
			low, high := matchLengths(sub)
			if i == 0 {
				shortest, longest = low, high
				continue
			}
			shortest = min(shortest, low)
			if longest < 0 || high < 0 {
				longest = -1
			} else {
				longest = max(longest, high)
			}
		}
		return shortest, longest
	case syntax.OpStar:
		least, most = 0, -1
	case syntax.OpPlus:
		least, most = 1, -1
	case syntax.OpQuest:
		least, most = 0, 1
	case syntax.OpRepeat:
		least, most = r.Min, r.Max
	}
	for _, sub := range r.Sub {
		low, high := matchLengths(sub)
		shortest = min(shortest+low, many)
		if longest < 0 || high < 0 {
			longest = -1
		} else {
			longest = min(longest+high, many)
		}
	}
	shortest = min(shortest*least, many)
	switch {
	case longest == 0 || most == 0:
		return shortest, 0
	case longest < 0 || most < 0 || longest*most > maxRepetitions:
		return shortest, -1
	}
	return shortest, longest * most
}

// innerAnchors tells whether a regular expression has anchors elsewhere than at its ends.
func innerAnchors(r *syntax.Regexp) bool {
	for r.Op == syntax.OpCapture {
		r = r.Sub[0]
	}
	parts := r.Sub
	if r.Op == syntax.OpConcat {
		if parts[0].Op == syntax.OpBeginText {
			parts = parts[1:]
		}
		if n := len(parts); n > 0 && parts[n-1].Op == syntax.OpEndText {
			parts = parts[:n-1]
		}
	}
	return slices.ContainsFunc(parts, anchored)
}

func anchored(r *syntax.Regexp) bool {
	return r.Op == syntax.OpBeginText || r.Op == syntax.OpEndText || slices.ContainsFunc(r.Sub, anchored)
}
