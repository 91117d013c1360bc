package jinja

import "errors"

// loop is the variable loop within a for loop. It looks at most one element ahead.
type loop struct {
	r        *renderer
	iterable value
	source   *generator
	index0   int
	depth0   int
	size     int // -1 if not known yet
	before   value
	current  value
	ahead    *value // the next element, if it has already been read; otherwise nil
	last     *list  // arguments of the last call of changed()
	recurse  func(iterable value, depth int) (string, error)
}

// step moves to the next element.
func (l *loop) step() (value, bool, error) {
	var v value
	if l.ahead != nil {
		v, l.ahead = *l.ahead, nil
	} else {
		var more bool
		var err error
		if v, more, err = l.source.next(); err != nil || !more {
			return nil, false, err
		}
	}
	l.index0++
	l.before, l.current = l.current, v
	return v, true, nil
}

func (l *loop) peek() (value, bool, error) {
	if l.ahead == nil {
		v, more, err := l.source.next()
		if err != nil || !more {
			return nil, false, err
		}
		l.ahead = &v
	}
	return *l.ahead, true, nil
}

// length returns the number of elements. It reads a generator to its end to count them.
func (l *loop) length() (int, error) {
	if l.size >= 0 {
		return l.size, nil
	}
	if n, err := lengthOf(l.iterable); err == nil {
		l.size = n
		return n, nil
	}
	rest, err := l.r.drain(l.source)
	if err != nil {
		return 0, err
	}
	l.source = generate("iterator", rest)
	l.size = len(rest) + l.index0 + 1
	if l.ahead != nil {
		l.size++
	}
	return l.size, nil
}

// attribute returns the attribute with that name, or false if there is none.
func (l *loop) attribute(name string) (value, bool, error) {
	number := func(n int) (value, bool, error) { return int64(n), true, nil }
	switch name {
	case "index":
		return number(l.index0 + 1)
	case "index0":
		return number(l.index0)
	case "depth":
		return number(l.depth0 + 1)
	case "depth0":
		return number(l.depth0)
	case "first":
		return l.index0 == 0, true, nil
	case "length", "revindex", "revindex0":
		n, err := l.length()
		return int64(n - map[string]int{"length": 0, "revindex": l.index0, "revindex0": l.index0 + 1}[name]), true, err
	case "last":
		_, more, err := l.peek()
		return !more, true, err
	case "previtem":
		if l.index0 == 0 {
			return &undefined{message: "there is no previous item"}, true, nil
		}
		return l.before, true, nil
	case "nextitem":
		v, more, err := l.peek()
		if !more {
			v = &undefined{message: "there is no next item"}
		}
		return v, true, err
	case "cycle":
		return &function{name: "cycle", call: l.cycle}, true, nil
	case "changed":
		return &function{name: "changed", call: l.changed}, true, nil
	}
	return nil, false, nil
}

func (l *loop) cycle(_ *renderer, args arguments) (value, error) {
	if len(args.positional) == 0 {
		return nil, errors.New("no items for cycling given")
	}
	return args.positional[l.index0%len(args.positional)], nil
}

func (l *loop) changed(r *renderer, args arguments) (value, error) {
	now := &list{items: args.positional, kind: isTuple}
	if l.last != nil {
		same, err := r.equal(l.last, now)
		if err != nil || same {
			return false, err
		}
	}
	l.last = now
	return true, nil
}

func (n *forNode) exec(r *renderer, s *scope) error {
	iterable, err := r.eval(n.iterable, s)
	if err != nil {
		return err
	}
	return n.loop(r, s, iterable, 0)
}

// loop renders the body for each element.
func (n *forNode) loop(r *renderer, s *scope, iterable value, depth int) error {
	source, err := r.iterate(iterable)
	if err != nil {
		return err
	}
	if n.test != nil {
		source = n.tested(r, s, source)
		iterable = source
	}
	l := &loop{r: r, iterable: iterable, source: source, index0: -1, depth0: depth, size: -1}
	if n.recursive {
		l.recurse = func(iterable value, depth int) (string, error) { return n.nested(r, s, iterable, depth) }
	}
	for {
		v, more, err := l.step()
		if err != nil {
			return err
		}
		if !more {
			break
		}
		round := inside(s)
		round.set("loop", l)
		if err := r.assign(n.target, v, round); err != nil {
			return err
		}
		if err := r.run(n.body, round); errors.Is(err, errBreak) {
			break
		} else if err != nil && !errors.Is(err, errContinue) {
			return err
		}
	}
	if l.index0 < 0 {
		return r.run(n.empty, inside(s))
	}
	return nil
}

// tested returns a generator of the elements for which the loop's condition holds.
func (n *forNode) tested(r *renderer, s *scope, source *generator) *generator {
	return &generator{name: "generator", next: func() (value, bool, error) {
		for {
			v, more, err := source.next()
			if err != nil || !more {
				return nil, false, err
			}
			round := inside(s)
			if err := r.assign(n.target, v, round); err != nil {
				return nil, false, err
			}
			keep, err := r.eval(n.test, round)
			if err != nil {
				return nil, false, err
			}
			if truth(keep) {
				return v, true, nil
			}
		}
	}}
}

// nested renders the loop again for the elements of an element, for recursive loops.
func (n *forNode) nested(r *renderer, s *scope, iterable value, depth int) (string, error) {
	if err := r.call(); err != nil {
		return "", err
	}
	defer r.returned()
	return r.captureFunc(func() error { return n.loop(r, s, iterable, depth) })
}
