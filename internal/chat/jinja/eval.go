package jinja

import (
	"fmt"
	"strings"
)

func (n *constant) eval(*renderer, *scope) (value, error) { return n.value, nil }

func (n *name) eval(_ *renderer, s *scope) (value, error) { return s.get(n.name), nil }

func (n *attributeExpression) eval(r *renderer, s *scope) (value, error) {
	object, err := r.eval(n.object, s)
	if err != nil {
		return nil, err
	}
	return r.attribute(object, n.name)
}

func (n *itemExpression) eval(r *renderer, s *scope) (value, error) {
	object, err := r.eval(n.object, s)
	if err != nil {
		return nil, err
	}
	if slice, ok := n.key.(*sliceKey); ok {
		return slice.of(r, s, object)
	}
	key, err := r.eval(n.key, s)
	if err != nil {
		return nil, err
	}
	return r.item(object, key)
}

func (n *notExpression) eval(r *renderer, s *scope) (value, error) {
	v, err := r.eval(n.operand, s)
	return !truth(v), err
}

func (n *signExpression) eval(r *renderer, s *scope) (value, error) {
	v, err := r.eval(n.operand, s)
	if err != nil {
		return nil, err
	}
	if n.negative {
		return r.binary("-", int64(0), v)
	}
	return r.binary("+", int64(0), v)
}

func (n *logicExpression) eval(r *renderer, s *scope) (value, error) {
	v, err := r.eval(n.left, s)
	if err != nil || truth(v) != n.and {
		return v, err
	}
	return r.eval(n.right, s)
}

func (n *condExpression) eval(r *renderer, s *scope) (value, error) {
	v, err := r.eval(n.condition, s)
	switch {
	case err != nil:
		return nil, err
	case truth(v):
		return r.eval(n.then, s)
	case n.otherwise != nil:
		return r.eval(n.otherwise, s)
	}
	return &undefined{message: "the inline if-expression evaluated to false and no else section was defined."}, nil
}

func (n *binaryExpression) eval(r *renderer, s *scope) (value, error) {
	left, err := r.eval(n.left, s)
	if err != nil {
		return nil, err
	}
	right, err := r.eval(n.right, s)
	if err != nil {
		return nil, err
	}
	return r.binary(n.operator, left, right)
}

func (n *concatExpression) eval(r *renderer, s *scope) (value, error) {
	var out strings.Builder
	for _, operand := range n.operands {
		v, err := r.eval(operand, s)
		if err != nil {
			return nil, err
		}
		text, err := strOf(v)
		if err != nil {
			return nil, err
		}
		if err := r.spend(out.Len() + len(text)); err != nil {
			return nil, err
		}
		out.WriteString(text)
	}
	return out.String(), nil
}

func (n *compareExpression) eval(r *renderer, s *scope) (value, error) {
	left, err := r.eval(n.first, s)
	if err != nil {
		return nil, err
	}
	for _, next := range n.rest {
		right, err := r.eval(next.operand, s)
		if err != nil {
			return nil, err
		}
		holds, err := r.compare(next.operator, left, right)
		if err != nil || !holds {
			return false, err
		}
		left = right
	}
	return true, nil
}

func (n *listExpression) eval(r *renderer, s *scope) (value, error) {
	out := &list{items: make([]value, len(n.items))}
	if n.tuple {
		out.kind = isTuple
	}
	var err error
	for i, item := range n.items {
		if out.items[i], err = r.eval(item, s); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (n *dictExpression) eval(r *renderer, s *scope) (value, error) {
	out := newDict()
	for i := range n.keys {
		key, err := r.eval(n.keys[i], s)
		if err != nil {
			return nil, err
		}
		v, err := r.eval(n.values[i], s)
		if err != nil {
			return nil, err
		}
		if err := out.set(key, v); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// eval is never called for a valid slice, because a subscript evaluates its slice with of.
func (n *sliceKey) eval(*renderer, *scope) (value, error) {
	return nil, fmt.Errorf("a slice cannot be part of a tuple of indices")
}

func (n *callExpression) eval(r *renderer, s *scope) (value, error) {
	callee, err := r.eval(n.function, s)
	if err != nil {
		return nil, err
	}
	args, err := r.arguments(n.args, s)
	if err != nil {
		return nil, err
	}
	return r.invoke(callee, args)
}

// invoke calls a value.
func (r *renderer) invoke(callee value, args arguments) (value, error) {
	switch f := callee.(type) {
	case *function:
		return f.call(r, args)
	case *undefined:
		return nil, f.fail()
	case *loop:
		bound, err := args.bind("loop", 1, "iterable")
		if err != nil {
			return nil, err
		}
		if f.recurse == nil {
			return nil, fmt.Errorf("the loop must have the 'recursive' marker to be called recursively")
		}
		return f.recurse(bound[0], f.depth0+1)
	}
	return nil, fmt.Errorf("'%s' object is not callable", typeName(callee))
}

func (n *filterExpression) eval(r *renderer, s *scope) (value, error) {
	v, err := r.eval(n.value, s)
	if err != nil {
		return nil, err
	}
	return n.apply(r, s, v)
}

// apply applies the filter to a value.
func (n *filterExpression) apply(r *renderer, s *scope, v value) (value, error) {
	args, err := r.arguments(n.args, s)
	if err != nil {
		return nil, err
	}
	return r.filter(n.name, v, args)
}

func (n *testExpression) eval(r *renderer, s *scope) (value, error) {
	v, err := r.eval(n.value, s)
	if err != nil {
		return nil, err
	}
	args, err := r.arguments(n.args, s)
	if err != nil {
		return nil, err
	}
	return r.test(n.name, v, args)
}

// filter applies the filter with that name.
func (r *renderer) filter(name string, v value, args arguments) (value, error) {
	filter := r.env.filters[name]
	if filter == nil {
		return nil, fmt.Errorf("no filter named %q", name)
	}
	return filter(r, v, args)
}

// test applies the test with that name.
func (r *renderer) test(name string, v value, args arguments) (bool, error) {
	test := r.env.tests[name]
	if test == nil {
		return false, fmt.Errorf("no test named %q", name)
	}
	return test(r, v, args)
}
