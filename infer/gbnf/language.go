package gbnf

import (
	"fmt"
	"strings"
)

// language returns a rule for the JSON strings of a length in which each of some regular expressions matches. They may have
// lookaheads at their start. One automaton matches all of them at once, and each of its states becomes a rule.
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
		return "", errorf(where, "pattern, format and length together need too large a grammar; shorten the pattern or keep only the length")
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

// transitions returns the alternatives that continue from a state. names are "" for states from which no string can end.
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
