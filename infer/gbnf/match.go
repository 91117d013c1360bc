package gbnf

import (
	"errors"
	"slices"
)

// ErrBudget reports a text that has too many parses to match it in bounded time.
var ErrBudget = errors.New("the grammar is too ambiguous: the text can be read in too many ways")

// The budget of a text counts the places visited, about 50 ns each. Known states cost nothing. The budget starts full, and each
// token refills a part of it. One answer therefore delays the next token of all others once by at most 25 ms, and then by less
// than 2 ms in each step. JSON needs a few dozen places per token.
const (
	fullBudget  = 1 << 19
	tokenBudget = 1 << 15
)

// maxKept bounds the states, and the frames, that a matcher keeps for reuse.
const maxKept = 1 << 12

// Matcher matches one text against a grammar.
type Matcher struct {
	grammar *Grammar
	now     *state
	budget  int
	states  map[uint64][]*state
	frames  map[uint64][]*frame
	kept    int
	frameID uint64

	// Scratch of step.
	todo   []thread
	seen   map[thread]struct{}
	out    []thread
	fresh  []*frame // created in this step
	accept bool
}

// state holds all places that a text may have reached. It is immutable except for next, which step fills on demand.
type state struct {
	threads []thread // at byte nodes
	accept  bool     // the text may end here
	next    []*state // by class; nil: not known yet
}

// thread is a place: a node, in the call of a rule that frame describes.
type thread struct {
	node  int32
	frame *frame
}

// frame is one call of a rule, with the places at which to continue when the rule ends. All calls of the same rule at the same
// position of the text share one frame.
type frame struct {
	rule      int32
	id        uint64
	returns   []thread
	popped    bool     // of a fresh frame: the rule can match the empty text
	fresh     bool     // created in the current step
	resolving bool     // scratch of keep
	same      *frame   // an equal older frame
	followers []*frame // fresh frames that end where this one ends
}

// Matcher returns a matcher for a new text.
func (g *Grammar) Matcher() *Matcher {
	m := &Matcher{grammar: g, states: map[uint64][]*state{}, frames: map[uint64][]*frame{}, seen: map[thread]struct{}{}}
	top := &frame{rule: -1}
	m.budget = fullBudget
	m.begin()
	m.push(thread{g.entries[g.root], top})
	m.close()
	m.now = m.keep()
	return m
}

// dead is the state from which no text continues.
var dead = &state{}

// Complete reports whether the text may end here.
func (m *Matcher) Complete() bool { return m.now.accept }

// Ended reports whether no byte can follow.
func (m *Matcher) Ended() bool { return len(m.now.threads) == 0 }

// Accepts reports whether the text may continue with these bytes. It is false for no bytes.
func (m *Matcher) Accepts(piece []byte) (bool, error) {
	to, err := m.walk(m.now, piece)
	return to != dead && len(piece) > 0, err
}

// Advance adds bytes that Accepts has allowed.
func (m *Matcher) Advance(piece []byte) error {
	m.budget = min(m.budget+tokenBudget, fullBudget)
	to, err := m.walk(m.now, piece)
	if err != nil {
		return err
	}
	if to == dead {
		return errors.New("the text does not match the grammar")
	}
	m.now = to
	if m.kept > maxKept {
		clear(m.states)
		clear(m.frames)
		m.kept = 0
	}
	return nil
}

func (m *Matcher) walk(from *state, piece []byte) (*state, error) {
	for _, b := range piece {
		if from = m.step(from, m.grammar.classes[b]); m.budget < 0 {
			return dead, ErrBudget
		}
		if from == dead {
			break
		}
	}
	return from, nil
}

// step returns the state after one byte of a class. The result is not valid if the budget runs out during the call.
func (m *Matcher) step(from *state, class uint8) *state {
	if from.next == nil {
		if len(from.threads) == 0 {
			return dead
		}
		from.next = make([]*state, m.grammar.count)
		m.budget -= m.grammar.count / 8
	}
	if to := from.next[class]; to != nil {
		return to
	}
	m.begin()
	m.budget -= len(from.threads)
	for _, t := range from.threads {
		n := m.grammar.nodes[t.node]
		if m.grammar.sets[n.arg][class/64]>>(class%64)&1 == 1 {
			m.push(thread{n.next, t.frame})
		}
	}
	m.close()
	if m.budget < 0 {
		return dead
	}
	to := m.keep()
	from.next[class] = to
	return to
}

func (m *Matcher) begin() {
	clear(m.seen)
	m.todo, m.out, m.fresh, m.accept = m.todo[:0], m.out[:0], m.fresh[:0], false
}

func (m *Matcher) push(t thread) {
	if m.budget--; m.budget < 0 {
		return
	}
	if _, ok := m.seen[t]; !ok {
		m.seen[t] = struct{}{}
		m.todo = append(m.todo, t)
	}
}

// close expands calls, splits and ends of rules until only places at byte nodes remain.
func (m *Matcher) close() {
	for len(m.todo) > 0 && m.budget >= 0 {
		t := m.todo[len(m.todo)-1]
		m.todo = m.todo[:len(m.todo)-1]
		switch n := m.grammar.nodes[t.node]; n.op {
		case opByte:
			m.out = append(m.out, t)
		case opSplit:
			m.push(thread{n.next, t.frame})
			m.push(thread{n.arg, t.frame})
		case opCall:
			m.call(n, t.frame)
		case opEnd:
			if t.frame.rule < 0 {
				m.accept = true
				continue
			}
			t.frame.popped = t.frame.fresh
			for _, r := range t.frame.returns {
				m.push(r)
			}
		}
	}
}

// call enters a rule. A call at the end of a rule returns to that rule's caller, so that recursion at the end of a rule
// does not grow the stack.
func (m *Matcher) call(n node, from *frame) {
	var to *frame
	for _, f := range m.fresh {
		if f.rule == n.arg {
			to = f
			break
		}
	}
	m.budget -= len(m.fresh) / 8
	made := to == nil
	if made {
		to = &frame{rule: n.arg, fresh: true, id: m.frameID}
		m.frameID++
		m.fresh = append(m.fresh, to)
	}
	switch {
	case n.next != 0 || from.rule < 0:
		m.link(to, thread{n.next, from})
	case from != to:
		for _, r := range slices.Clone(from.returns) {
			m.link(to, r)
		}
		if from.fresh && !slices.Contains(from.followers, to) {
			from.followers = append(from.followers, to)
		}
	}
	if made {
		m.push(thread{m.grammar.entries[n.arg], to})
	}
}

// link adds a place to return to, for this frame and for the frames that end where it ends.
func (m *Matcher) link(to *frame, r thread) {
	if m.budget -= 1 + len(to.returns)/4; m.budget < 0 || slices.Contains(to.returns, r) {
		return
	}
	to.returns = append(to.returns, r)
	if to.popped {
		m.push(r)
	}
	for _, f := range to.followers {
		m.link(f, r)
	}
}

// keep returns the state for close's result. Equal places always have the same state: inside a JSON string, for example, all
// characters lead back to one state, and a step costs an array access.
func (m *Matcher) keep() *state {
	if len(m.out) == 0 && !m.accept {
		return dead
	}
	for _, f := range m.fresh {
		f.fresh, f.followers = false, nil
	}
	for _, f := range m.fresh {
		m.resolve(f)
	}
	hash := uint64(1)
	threads := make([]thread, len(m.out))
	for i, t := range m.out {
		if t.frame.same != nil {
			t.frame = t.frame.same
		}
		threads[i] = t
	}
	slices.SortFunc(threads, func(a, b thread) int {
		if a.node != b.node {
			return int(a.node - b.node)
		}
		return int(int64(a.frame.id - b.frame.id))
	})
	for _, t := range threads {
		hash = mix(mix(hash, uint64(t.node)), t.frame.id)
	}
	for _, s := range m.states[hash] {
		if s.accept == m.accept && slices.Equal(s.threads, threads) {
			return s
		}
	}
	s := &state{threads: threads, accept: m.accept}
	m.states[hash] = append(m.states[hash], s)
	m.kept++
	return s
}

func mix(h, x uint64) uint64 {
	h = (h ^ x) * 0x9e3779b97f4a7c15
	return h ^ h>>29
}

// resolve finds an older frame with the same rule and the same returns. Frames in a cycle of returns have none.
func (m *Matcher) resolve(f *frame) {
	if f.resolving || f.same != nil {
		return
	}
	f.resolving = true // stays true, because a frame is resolved once
	hash := uint64(f.rule) + 1
	for i, r := range f.returns {
		m.resolve(r.frame)
		if r.frame.same != nil {
			f.returns[i].frame = r.frame.same
		}
	}
	for _, r := range f.returns {
		hash += mix(mix(7, uint64(r.node)), r.frame.id) // the sum does not depend on the order
	}
	for _, old := range m.frames[hash] {
		if old.rule == f.rule && sameReturns(old.returns, f.returns) {
			f.same = old
			return
		}
	}
	m.frames[hash] = append(m.frames[hash], f)
	m.kept++
}

// sameReturns reports whether two lists have the same places in any order.
func sameReturns(a, b []thread) bool {
	if len(a) != len(b) {
		return false
	}
	if len(a) > 64 {
		return slices.Equal(a, b)
	}
	for _, t := range a {
		if !slices.Contains(b, t) {
			return false
		}
	}
	return true
}
