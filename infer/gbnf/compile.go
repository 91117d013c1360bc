package gbnf

// Grammar is a compiled grammar.
type Grammar struct {
	nodes   []node
	entries []int32    // first node of each rule
	classes [256]uint8 // class of each byte; no node distinguishes between bytes of a class
	sets    [][4]uint64
	count   int // classes
	root    int32
}

// node is a place in a rule. Its number is its index in Grammar.nodes; node 0 is the end of every rule.
type node struct {
	op   op
	next int32 // node after the byte or the call; first branch of a split
	arg  int32 // set of a byte; rule of a call; second branch of a split
}

type op uint8

const (
	opEnd   op = iota
	opByte     // one byte of the set
	opCall     // a rule
	opSplit    // either branch
)

// Parse reads and compiles a grammar. It returns an *Error for a grammar that is malformed, exceeds the limits or allows a
// text that can never end.
func Parse(text string) (*Grammar, error) {
	p, err := parse(text)
	if err != nil {
		return nil, err
	}
	c := &compiler{Grammar: &Grammar{nodes: make([]node, 1), root: int32(p.index["root"])}, setIndex: map[[4]uint64]int32{}}
	for i, body := range p.rules {
		entry, ok := c.compile(body, 0)
		if !ok {
			return nil, errorf("rule "+p.names[i], "the grammar has more than %d places, with its repetitions expanded; shorten it", maxNodes)
		}
		c.entries = append(c.entries, entry)
	}
	if rule, ok := c.endless(); ok {
		return nil, errorf("rule "+p.names[rule], "can never end")
	}
	c.classify()
	return c.Grammar, nil
}

type compiler struct {
	*Grammar
	setIndex map[[4]uint64]int32
}

func (c *compiler) add(n node) (int32, bool) {
	if len(c.nodes) >= maxNodes {
		return 0, false
	}
	c.nodes = append(c.nodes, n)
	return int32(len(c.nodes) - 1), true
}

// compile compiles e, followed by next, and returns the first node.
func (c *compiler) compile(e *expr, next int32) (at int32, ok bool) {
	at, ok = next, true
	switch e.kind {
	case sequence:
		for i := len(e.parts) - 1; i >= 0 && ok; i-- {
			at, ok = c.compile(e.parts[i], at)
		}
	case alternatives:
		for i := len(e.parts) - 1; i >= 0 && ok; i-- {
			var way int32
			if way, ok = c.compile(e.parts[i], next); !ok {
				break
			}
			if i == len(e.parts)-1 {
				at = way
				continue
			}
			at, ok = c.add(node{op: opSplit, next: way, arg: at})
		}
	case repetition:
		at, ok = c.repeat(e, next)
	case character:
		at, ok = c.chars(e.set, next)
	case reference:
		at, ok = c.add(node{op: opCall, next: next, arg: int32(e.rule)})
	}
	return at, ok
}

// repeat expands the least number of copies, then a loop or one optional copy within another.
func (c *compiler) repeat(e *expr, next int32) (at int32, ok bool) {
	at, ok = next, true
	if e.max < 0 {
		loop, fits := c.add(node{op: opSplit, arg: next})
		if !fits {
			return 0, false
		}
		body, fits := c.compile(e.parts[0], loop)
		if !fits {
			return 0, false
		}
		c.nodes[loop].next = body
		at = loop
	}
	for i := e.min; i < e.max && ok; i++ {
		var body int32
		if body, ok = c.compile(e.parts[0], at); ok {
			at, ok = c.add(node{op: opSplit, next: body, arg: next})
		}
	}
	for i := 0; i < e.min && ok; i++ {
		before := len(c.nodes)
		if at, ok = c.compile(e.parts[0], at); len(c.nodes) == before {
			break // e matches only the empty text
		}
	}
	return at, ok
}

// chars adds nodes for the UTF-8 of a set of characters. Characters of one byte share a node.
func (c *compiler) chars(set runeSet, next int32) (at int32, ok bool) {
	var single [4]uint64
	at, ok = -1, true
	either := func(way int32) {
		if at < 0 {
			at = way
		} else {
			at, ok = c.add(node{op: opSplit, next: way, arg: at})
		}
	}
	for _, sequence := range set.utf8Sequences() {
		if len(sequence) == 1 {
			add(&single, sequence[0])
			continue
		}
		way := next
		for i := len(sequence) - 1; i >= 0 && ok; i-- {
			var bytes [4]uint64
			add(&bytes, sequence[i])
			way, ok = c.bytes(bytes, way)
		}
		if !ok {
			return 0, false
		}
		if either(way); !ok {
			return 0, false
		}
	}
	if single != ([4]uint64{}) {
		way, fits := c.bytes(single, next)
		if !fits {
			return 0, false
		}
		either(way)
	}
	return at, ok
}

func add(set *[4]uint64, r byteRange) {
	for b := int(r.low); b <= int(r.high); b++ {
		set[b/64] |= 1 << (b % 64)
	}
}

func (c *compiler) bytes(set [4]uint64, next int32) (int32, bool) {
	i, ok := c.setIndex[set]
	if !ok {
		i = int32(len(c.sets))
		c.sets = append(c.sets, set)
		c.setIndex[set] = i
	}
	return c.add(node{op: opByte, next: next, arg: i})
}

// classify assigns the same class to two bytes when every set holds both or neither, then rewrites the sets over
// classes.
func (c *compiler) classify() {
	names := map[string]uint8{}
	var representative []int
	signature := make([]byte, (len(c.sets)+7)/8)
	for b := range 256 {
		clear(signature)
		for i, set := range c.sets {
			if set[b/64]>>(b%64)&1 == 1 {
				signature[i/8] |= 1 << (i % 8)
			}
		}
		class, ok := names[string(signature)]
		if !ok {
			class = uint8(len(representative))
			names[string(signature)] = class
			representative = append(representative, b)
		}
		c.classes[b] = class
	}
	c.count = len(representative)
	for i, set := range c.sets {
		var over [4]uint64
		for class, b := range representative {
			if set[b/64]>>(b%64)&1 == 1 {
				over[class/64] |= 1 << (class % 64)
			}
		}
		c.sets[i] = over
	}
}

// endless finds a rule that is reachable from the root and has a place from which no text leads to the rule's end.
func (c *compiler) endless() (rule int, found bool) {
	ends := make([]bool, len(c.nodes)) // some text leads from here to the end of the rule
	callers := make([][]int32, len(c.entries))
	starts := make(map[int32][]int32, len(c.entries)) // rules by their first node
	for r, entry := range c.entries {
		starts[entry] = append(starts[entry], int32(r))
	}
	before := make([][]int32, len(c.nodes))
	for i, n := range c.nodes {
		switch n.op {
		case opByte:
			before[n.next] = append(before[n.next], int32(i))
		case opCall:
			before[n.next] = append(before[n.next], int32(i))
			callers[n.arg] = append(callers[n.arg], int32(i))
		case opSplit:
			before[n.next] = append(before[n.next], int32(i))
			before[n.arg] = append(before[n.arg], int32(i))
		}
	}
	todo := []int32{0}
	ends[0] = true
	visit := func(i int32) {
		n := c.nodes[i]
		if ends[i] || n.op == opCall && (!ends[n.next] || !ends[c.entries[n.arg]]) {
			return
		}
		ends[i] = true
		todo = append(todo, i)
	}
	for len(todo) > 0 {
		at := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		for _, i := range before[at] {
			visit(i)
		}
		for _, r := range starts[at] {
			for _, i := range callers[r] {
				visit(i)
			}
		}
	}
	return c.deadEnd(ends)
}

// deadEnd searches the reachable nodes for a place that does not end. It returns the rule of that place, not a rule that calls
// it.
func (c *compiler) deadEnd(ends []bool) (rule int, found bool) {
	seenRule, seen := make([]bool, len(c.entries)), make([]bool, len(c.nodes))
	rules := []int32{c.root}
	seenRule[c.root] = true
	for len(rules) > 0 {
		r := rules[len(rules)-1]
		rules = rules[:len(rules)-1]
		todo := []int32{c.entries[r]}
		for len(todo) > 0 {
			at := todo[len(todo)-1]
			todo = todo[:len(todo)-1]
			if seen[at] && at != 0 {
				continue
			}
			seen[at] = true
			n := c.nodes[at]
			if !ends[at] {
				rule, found = int(r), true
				if n.op != opCall || ends[c.entries[n.arg]] {
					return rule, true
				}
			}
			switch n.op {
			case opCall:
				if !seenRule[n.arg] {
					seenRule[n.arg] = true
					rules = append(rules, n.arg)
				}
				todo = append(todo, n.next)
			case opByte:
				todo = append(todo, n.next)
			case opSplit:
				todo = append(todo, n.next, n.arg)
			}
		}
	}
	return rule, found
}
