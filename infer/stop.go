package infer

// stopMatcher finds the first of many stop strings in a text that arrives byte by byte. It is the automaton of Aho and
// Corasick ("Efficient string matching", 1975). A state is a node; its depth is the number of trailing bytes of the
// text that may be the start of a stop string. A byte takes constant time on average, for any number of strings.
type stopMatcher struct {
	nodes []stopNode
	root  [256]int32 // children of node 0; 0: none
}

type stopNode struct {
	child   int32 // first child; 0: none
	sibling int32 // next child of the same parent; 0: none
	fail    int32 // node of the longest proper suffix that is in the trie
	depth   int32 // bytes from the root
	match   int32 // bytes of the longest stop string that ends here; 0: none
	byte    byte  // on the edge from the parent
}

func newStopMatcher(stops []string) *stopMatcher {
	m := &stopMatcher{nodes: make([]stopNode, 1)}
	for _, s := range stops {
		m.insert(s)
	}
	m.link()
	return m
}

func (m *stopMatcher) insert(s string) {
	at := int32(0)
	for i := range len(s) {
		to := m.child(at, s[i])
		if to == 0 {
			to = int32(len(m.nodes))
			m.nodes = append(m.nodes, stopNode{byte: s[i], depth: int32(i) + 1, sibling: m.nodes[at].child})
			m.nodes[at].child = to
			if at == 0 {
				m.root[s[i]] = to
			}
		}
		at = to
	}
	m.nodes[at].match = m.nodes[at].depth
}

// link sets the fail links level by level, and records a match at every node that ends with it.
func (m *stopMatcher) link() {
	level := make([]int32, 0, len(m.nodes))
	for c := m.nodes[0].child; c != 0; c = m.nodes[c].sibling {
		level = append(level, c)
	}
	for i := 0; i < len(level); i++ {
		at := level[i]
		for c := m.nodes[at].child; c != 0; c = m.nodes[c].sibling {
			fail := m.next(m.nodes[at].fail, m.nodes[c].byte)
			m.nodes[c].fail = fail
			m.nodes[c].match = max(m.nodes[c].match, m.nodes[fail].match)
			level = append(level, c)
		}
	}
}

func (m *stopMatcher) child(at int32, c byte) int32 {
	if at == 0 {
		return m.root[c]
	}
	to := m.nodes[at].child
	for to != 0 && m.nodes[to].byte != c {
		to = m.nodes[to].sibling
	}
	return to
}

// next returns the state after one more byte.
func (m *stopMatcher) next(state int32, c byte) int32 {
	for {
		if to := m.child(state, c); to != 0 {
			return to
		}
		if state == 0 {
			return 0
		}
		state = m.nodes[state].fail
	}
}

// matched returns the length in bytes of the longest stop string that ends in this state, 0 without one.
func (m *stopMatcher) matched(state int32) int { return int(m.nodes[state].match) }

// pending returns the number of trailing bytes that may be the start of a stop string.
func (m *stopMatcher) pending(state int32) int { return int(m.nodes[state].depth) }
