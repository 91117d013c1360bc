package gbnf

import (
	"encoding/binary"
	"fmt"
	"regexp/syntax"
	"slices"
	"strings"
	"unicode/utf8"
)

// Limits of language. A step takes about 50 ns, all steps of a schema about 0.1 s.
const (
	maxPlaces = 1 << 12 // of a regular expression with its repetitions expanded
	maxStates = 1 << 12 // of the automaton; a bound on the length needs states for each character
	maxSteps  = 1 << 21 // places visited, for all strings of a schema
)

// automaton matches several regular expressions against a string at once, and counts its characters.
type automaton struct {
	parts       []part
	least, most int       // characters; most is -1 when there is no bound
	classes     []runeSet // sets of characters between which no part distinguishes
	states      []automatonState
	index       map[string]int // states by their places
	steps       int
}

type automatonState struct {
	next   []int // by class; -1: nowhere
	accept bool
}

// part is a regular expression that must match, or must not match.
type part struct {
	prog    *syntax.Prog
	negated bool
	takes   [][]bool // by instruction, by class; nil for instructions that match no character
}

// place is the state after the beginning of a string: the places in each part, and the number of characters so far, up to
// the largest that matters.
type place struct {
	at    [][]uint32 // sorted instructions; only done if the part matches for any continuation
	count int
	begin bool
}

const done = ^uint32(0)

// add splits a regular expression into its lookaheads and the rest.
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
		return errorf(where, "the pattern has more than %d places, with its repetitions expanded; shorten it", maxPlaces)
	}
	prog, err := syntax.Compile(expression.Simplify())
	if err != nil {
		return errorf(where, "%s", err)
	}
	a.parts = append(a.parts, part{prog: prog, negated: negated})
	return nil
}

// writable holds the characters that jsonClass writes.
var writable = runeSet{{'\t', '\n'}, {'\r', '\r'}, {' ', 0x7e}, {0x80, utf8.MaxRune}}.valid()

// classify divides the writable characters into classes. It reports whether their number is within the limits.
func (a *automaton) classify() bool {
	// Each set of characters once: repetitions have many copies.
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

// characters returns the characters that an instruction matches, or nil if it matches none. Notations differ in the line ends
// that a dot excludes. In a part that must match, a dot excludes all line ends; in a negated part, only one.
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

// build creates all states that a string may reach. It reports whether their number is within the limits.
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

// key returns a text that is equal for equal places.
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

// step returns the place after one character of a class. It reports whether a match can still follow.
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

// follow expands instructions to those that match a character or wait for the end. If one of them matches, it returns
// only the match.
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

// accepts reports whether a string may end at a place.
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

// useful reports for each state whether a string that reaches it can end.
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
