package jinja

import (
	"errors"
	"fmt"
	"slices"
)

// environment holds the filters, tests, methods and functions that templates may use. They are those of transformers'
// sandboxed Jinja2, except for those that are random or write HTML.
type environment struct {
	filters map[string]filterFunction
	tests   map[string]testFunction
	strings map[string]stringFunction
	dicts   map[string]dictFunction
	lists   map[string]listFunction
	globals map[string]value
}

func newEnvironment() *environment {
	return &environment{
		filters: newFilters(), tests: newTests(),
		strings: newStringMethods(), dicts: newDictMethods(), lists: newListMethods(),
		globals: newGlobals(),
	}
}

// Defines reports whether a name is a function that every template has.
func Defines(name string) bool {
	_, found := newGlobals()[name]
	return found
}

func newGlobals() map[string]value {
	out := map[string]value{}
	for name, call := range map[string]func(r *renderer, args arguments) (value, error){
		"range": rangeOf, "dict": dictOf, "namespace": namespaceOf, "joiner": joiner, "cycler": cycler,
		"raise_exception": raise, "strftime_now": strftimeNow,
	} {
		out[name] = &function{name: name, call: call}
	}
	return out
}

// rangeOf is Python's range. Like the sandbox, it allows at most maxElements numbers.
func rangeOf(r *renderer, args arguments) (value, error) {
	numbers := make([]int64, len(args.positional))
	for i, v := range args.positional {
		if u, ok := v.(*undefined); ok {
			return nil, u.fail()
		}
		n, ok := asInteger(v)
		if !ok {
			return nil, fmt.Errorf("'%s' object cannot be interpreted as an integer", typeName(v))
		}
		numbers[i] = n
	}
	start, stop, step := int64(0), int64(0), int64(1)
	switch len(numbers) {
	case 1:
		stop = numbers[0]
	case 2:
		start, stop = numbers[0], numbers[1]
	case 3:
		start, stop, step = numbers[0], numbers[1], numbers[2]
	}
	if len(numbers) == 0 || len(numbers) > 3 || len(args.names) > 0 {
		return nil, errors.New("range expected 1 to 3 numbers")
	}
	if step == 0 {
		return nil, errors.New("range() arg 3 must not be zero")
	}
	out := &list{kind: isRange}
	for i := start; step > 0 && i < stop || step < 0 && i > stop; i += step {
		if len(out.items) == maxElements {
			return nil, &LimitError{What: "range", Limit: maxElements}
		}
		out.items = append(out.items, i)
	}
	return out, r.step(len(out.items))
}

// dictOf is Python's dict. It takes a mapping or pairs, and members as keyword arguments.
func dictOf(r *renderer, args arguments) (value, error) {
	out := newDict()
	if len(args.positional) > 1 {
		return nil, errors.New("dict expected at most 1 argument")
	}
	for _, from := range args.positional {
		pairs := []value(nil)
		if d, ok := from.(*dict); ok {
			pairs = d.pairs()
		} else {
			var err error
			if pairs, err = r.elements(from); err != nil {
				return nil, err
			}
		}
		for _, pair := range pairs {
			both, err := r.elements(pair)
			if err != nil {
				return nil, err
			}
			if len(both) != 2 {
				return nil, errors.New("dictionary update sequence element must have length 2")
			}
			if err := out.set(both[0], both[1]); err != nil {
				return nil, err
			}
		}
	}
	for _, name := range args.names {
		if err := out.set(name, args.named[name]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func namespaceOf(r *renderer, args arguments) (value, error) {
	members, err := dictOf(r, args)
	if err != nil {
		return nil, err
	}
	return &namespace{members.(*dict)}, nil
}

// joiner returns a function that returns a separator at every call but the first.
func joiner(_ *renderer, args arguments) (value, error) {
	bound, err := args.bind("joiner", 0, "sep")
	used := false
	return &function{name: "joiner", call: func(*renderer, arguments) (value, error) {
		if !used {
			used = true
			return "", nil
		}
		return valueOr(bound[0], ", "), nil
	}}, err
}

// cycler returns an object whose method next returns the given values in turn.
func cycler(_ *renderer, args arguments) (value, error) {
	items := slices.Clone(args.positional)
	if len(items) == 0 {
		return nil, errors.New("at least one item has to be provided")
	}
	at := 0
	members := newDict()
	next := &function{name: "next", call: func(*renderer, arguments) (value, error) {
		v := items[at]
		at = (at + 1) % len(items)
		return v, members.set("current", items[at])
	}}
	reset := &function{name: "reset", call: func(*renderer, arguments) (value, error) {
		at = 0
		return nil, members.set("current", items[0])
	}}
	for name, v := range map[string]value{"next": next, "reset": reset, "current": items[0]} {
		if err := members.set(name, v); err != nil {
			return nil, err
		}
	}
	return &namespace{members}, nil
}

func raise(_ *renderer, args arguments) (value, error) {
	bound, err := args.bind("raise_exception", 1, "message")
	if err != nil {
		return nil, err
	}
	message, err := strOf(bound[0])
	if err != nil {
		return nil, err
	}
	return nil, &RaisedError{Message: message}
}

func strftimeNow(r *renderer, args arguments) (value, error) {
	format, _, err := textArguments(args, "strftime_now", 1, "format")
	if err != nil {
		return nil, err
	}
	return strftime(r.now, format)
}
