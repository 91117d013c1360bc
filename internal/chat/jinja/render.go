package jinja

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// renderer is the state of one rendering of a template.
type renderer struct {
	env *environment
	budget
	out  *strings.Builder // output of the template, or of the macro or block being rendered
	root *scope
	now  time.Time // for strftime_now
}

// scope holds variables. Names that it does not have are looked up in the enclosing scope.
type scope struct {
	variables map[string]value
	around    *scope
}

func inside(s *scope) *scope { return &scope{around: s} }

func (s *scope) set(name string, v value) {
	if s.variables == nil {
		s.variables = map[string]value{}
	}
	s.variables[name] = v
}

func (s *scope) get(name string) value {
	for ; s != nil; s = s.around {
		if v, ok := s.variables[name]; ok {
			return v
		}
	}
	return missingName(name)
}

// Signals that end an iteration of a loop. They are errors if there is no loop.
var (
	errBreak    = errors.New("break outside a loop")
	errContinue = errors.New("continue outside a loop")
)

// lineError says in which line of the template an error occurred.
type lineError struct {
	line int
	err  error
}

// Error implements error.
func (e *lineError) Error() string { return fmt.Sprintf("line %d: %v", e.line, e.err) }

// Unwrap returns the error without the line.
func (e *lineError) Unwrap() error { return e.err }

func (r *renderer) run(body []statement, s *scope) error {
	for _, node := range body {
		if err := r.enter(); err != nil {
			return err
		}
		err := node.exec(r, s)
		r.leave()
		if err != nil {
			if errors.Is(err, errBreak) || errors.Is(err, errContinue) || errors.As(err, new(*lineError)) {
				return err
			}
			return &lineError{node.at(), err}
		}
	}
	return nil
}

// capture renders a body and returns the text.
func (r *renderer) capture(body []statement, s *scope) (string, error) {
	return r.captureFunc(func() error { return r.run(body, s) })
}

// captureFunc returns the text that f writes.
func (r *renderer) captureFunc(f func() error) (string, error) {
	outer := r.out
	defer func() { r.out = outer }()
	r.out = &strings.Builder{}
	err := f()
	return r.out.String(), err
}

func (r *renderer) write(text string) error {
	if err := r.spend(len(text)); err != nil {
		return err
	}
	if r.out.Len()+len(text) > maxOutput {
		return &LimitError{What: "output", Limit: maxOutput}
	}
	r.out.WriteString(text)
	return nil
}

// eval returns the value of an expression.
func (r *renderer) eval(node expression, s *scope) (value, error) {
	if err := r.enter(); err != nil {
		return nil, err
	}
	defer r.leave()
	return node.eval(r, s)
}

func (n *dataNode) exec(r *renderer, _ *scope) error { return r.write(n.text) }

func (n *outputNode) exec(r *renderer, s *scope) error {
	v, err := r.eval(n.value, s)
	if err != nil {
		return err
	}
	text, err := strOf(v)
	if err != nil {
		return err
	}
	return r.write(text)
}

func (n *ifNode) exec(r *renderer, s *scope) error {
	for i, condition := range n.conditions {
		v, err := r.eval(condition, s)
		if err != nil {
			return err
		}
		if truth(v) {
			return r.run(n.bodies[i], s)
		}
	}
	if len(n.bodies) > len(n.conditions) {
		return r.run(n.bodies[len(n.conditions)], s)
	}
	return nil
}

func (n *setNode) exec(r *renderer, s *scope) error {
	v, err := r.eval(n.value, s)
	if err != nil {
		return err
	}
	return r.assign(n.target, v, s)
}

func (n *setBlockNode) exec(r *renderer, s *scope) error {
	v, err := r.filtered(n.body, n.filters, s)
	if err != nil {
		return err
	}
	return r.assign(n.target, v, s)
}

func (n *filterNode) exec(r *renderer, s *scope) error {
	v, err := r.filtered(n.body, n.filters, s)
	if err != nil {
		return err
	}
	text, err := strOf(v)
	if err != nil {
		return err
	}
	return r.write(text)
}

// filtered renders a body and applies filters to the text.
func (r *renderer) filtered(body []statement, filters []*filterExpression, s *scope) (value, error) {
	inner := inside(s)
	text, err := r.capture(body, inner)
	if err != nil {
		return nil, err
	}
	var v value = text
	for _, filter := range filters {
		if v, err = filter.apply(r, inner, v); err != nil {
			return nil, err
		}
	}
	return v, nil
}

func (n *withNode) exec(r *renderer, s *scope) error {
	inner := inside(s)
	for i, expression := range n.values {
		v, err := r.eval(expression, s)
		if err != nil {
			return err
		}
		if err := r.assign(n.targets[i], v, inner); err != nil {
			return err
		}
	}
	return r.run(n.body, inner)
}

func (n *scopeNode) exec(r *renderer, s *scope) error {
	if n.root {
		s = r.root
	}
	return r.run(n.body, inside(s))
}

func (n *breakNode) exec(*renderer, *scope) error    { return errBreak }
func (n *continueNode) exec(*renderer, *scope) error { return errContinue }

// assign sets a target to a value.
func (r *renderer) assign(to target, v value, s *scope) error {
	switch {
	case to.tuple != nil:
		items, err := r.elements(v)
		if err != nil {
			return err
		}
		switch {
		case len(items) < len(to.tuple):
			return fmt.Errorf("not enough values to unpack (expected %d, got %d)", len(to.tuple), len(items))
		case len(items) > len(to.tuple):
			return fmt.Errorf("too many values to unpack (expected %d)", len(to.tuple))
		}
		for i, item := range items {
			if err := r.assign(to.tuple[i], item, s); err != nil {
				return err
			}
		}
		return nil
	case to.attribute != "":
		n, ok := s.get(to.name).(*namespace)
		if !ok {
			return errors.New("cannot assign attribute on non-namespace object")
		}
		return n.members.set(to.attribute, v)
	}
	s.set(to.name, v)
	return nil
}

// elements returns all elements that a loop over a value visits.
func (r *renderer) elements(v value) ([]value, error) {
	switch v := v.(type) {
	case *list:
		return v.items, r.step(len(v.items))
	case *dict:
		return v.keys, r.step(len(v.keys))
	case *undefined:
		return nil, nil
	case *generator:
		return r.drain(v)
	}
	s, ok := text(v)
	if !ok {
		return nil, fmt.Errorf("'%s' object is not iterable", typeName(v))
	}
	if len(s) > maxElements { // each character becomes a value
		return nil, &LimitError{What: "elements of a list", Limit: maxElements}
	}
	var out []value
	for _, c := range s {
		out = append(out, string(c))
	}
	return out, r.step(len(out))
}

// drain returns the remaining elements of a generator.
func (r *renderer) drain(g *generator) ([]value, error) {
	var out []value
	for {
		v, more, err := g.next()
		if err != nil || !more {
			return out, err
		}
		if err := r.step(1); err != nil {
			return nil, err
		}
		if out = append(out, v); len(out) > maxElements {
			return nil, &LimitError{What: "elements of a list", Limit: maxElements}
		}
	}
}

// iterate returns a generator of the elements that a loop over a value visits.
func (r *renderer) iterate(v value) (*generator, error) {
	if g, ok := v.(*generator); ok {
		return g, nil
	}
	items, err := r.elements(v)
	if err != nil {
		return nil, err
	}
	return generate("iterator", items), nil
}

// generate returns a generator of the elements of a list.
func generate(name string, items []value) *generator {
	return &generator{name: name, next: func() (value, bool, error) {
		if len(items) == 0 {
			return nil, false, nil
		}
		v := items[0]
		items = items[1:]
		return v, true, nil
	}}
}
