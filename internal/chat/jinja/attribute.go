package jinja

import (
	"fmt"
	"strings"
)

// attribute evaluates object.name. Like Jinja2, it looks first for a method or attribute, then for a member with that
// name.
func (r *renderer) attribute(object value, name string) (value, error) {
	v, found, err := r.pythonAttribute(object, name)
	if err != nil || found {
		return v, err
	}
	if d, ok := object.(*dict); ok {
		if v, ok := d.get(name); ok {
			return v, nil
		}
	}
	return missingAttribute(object, name), nil
}

// item evaluates object[key]. It looks first for a member, then for an attribute with that name.
func (r *renderer) item(object, key value) (value, error) {
	switch o := object.(type) {
	case *undefined:
		return nil, o.fail()
	case *dict:
		if v, ok := o.get(key); ok {
			return v, nil
		}
	case *list:
		if i, ok := asInteger(key); ok && o.kind != isView {
			if i, ok := indexOf(i, len(o.items)); ok {
				return o.items[i], nil
			}
		}
	case string, markup:
		s, _ := text(o)
		if i, ok := asInteger(key); ok {
			if err := r.spend(len(s)); err != nil {
				return nil, err
			}
			runes := []rune(s)
			if i, ok := indexOf(i, len(runes)); ok {
				return string(runes[i]), nil
			}
		}
	}
	if name, ok := text(key); ok {
		v, found, err := r.pythonAttribute(object, name)
		if err != nil || found {
			return v, err
		}
	}
	return missingElement(object, key), nil
}

// indexOf converts an index that counts from the end if it is negative. It returns false if the index is out of range.
func indexOf(i int64, length int) (int, bool) {
	if i < 0 {
		i += int64(length)
	}
	return int(i), i >= 0 && i < int64(length)
}

// unsafe lists the methods that would change a list or a dict. transformers' sandbox rejects them.
var unsafe = map[string]string{
	"append": "list", "extend": "list", "insert": "list", "remove": "list", "reverse": "list", "sort": "list",
	"popitem": "dict", "setdefault": "dict", "update": "dict",
	"clear": "list dict", "pop": "list dict",
}

// pythonAttribute returns what Python's getattr finds. Names that begin with an underscore are hidden.
func (r *renderer) pythonAttribute(object value, name string) (value, bool, error) {
	kind := typeName(object)
	if strings.HasPrefix(name, "_") {
		if _, ok := object.(*undefined); !ok {
			return nil, false, nil
		}
	}
	if strings.Contains(unsafe[name], kind) {
		return &undefined{message: fmt.Sprintf("access to attribute '%s' of '%s' object is unsafe.", name, kind)}, true, nil
	}
	switch o := object.(type) {
	case *undefined:
		return nil, false, o.fail()
	case string:
		return r.stringMethod(o, name)
	case markup:
		return r.stringMethod(string(o), name)
	case *dict:
		if method, ok := r.env.dicts[name]; ok {
			return &function{name: name, call: func(r *renderer, args arguments) (value, error) { return method(r, o, args) }}, true, nil
		}
	case *list:
		if method, ok := r.env.lists[name]; ok && o.kind != isView {
			return &function{name: name, call: func(r *renderer, args arguments) (value, error) { return method(r, o, args) }}, true, nil
		}
	case *namespace:
		v, ok := o.members.get(name)
		return v, ok, nil
	case *loop:
		return o.attribute(name)
	case *function:
		if name == "name" {
			return o.name, true, nil
		}
	}
	return nil, false, nil
}

func (r *renderer) stringMethod(s, name string) (value, bool, error) {
	method, ok := r.env.strings[name]
	if !ok {
		return nil, false, nil
	}
	return &function{name: name, call: func(r *renderer, args arguments) (value, error) {
		if err := r.spend(len(s)); err != nil {
			return nil, err
		}
		return method(r, s, args)
	}}, true, nil
}

type dictFunction = func(r *renderer, d *dict, args arguments) (value, error)

// newDictMethods returns the methods of a dict that do not change it.
func newDictMethods() map[string]dictFunction {
	return map[string]dictFunction{
		"get": func(r *renderer, d *dict, args arguments) (value, error) {
			bound, err := args.bind("get", 1, "key", "default")
			if err != nil {
				return nil, err
			}
			if _, err := hashOf(bound[0]); err != nil {
				return nil, err
			}
			if v, ok := d.get(bound[0]); ok {
				return v, nil
			}
			return valueOr(bound[1], nil), nil
		},
		"items": func(r *renderer, d *dict, args arguments) (value, error) {
			_, err := args.bind("items", 0)
			return &list{items: d.pairs(), kind: isView}, err
		},
		"keys": func(r *renderer, d *dict, args arguments) (value, error) {
			_, err := args.bind("keys", 0)
			return &list{items: d.keys, kind: isView}, err
		},
		"values": func(r *renderer, d *dict, args arguments) (value, error) {
			_, err := args.bind("values", 0)
			return &list{items: d.members(), kind: isView}, err
		},
		"copy": func(r *renderer, d *dict, args arguments) (value, error) {
			_, err := args.bind("copy", 0)
			return d, err // no copy: templates cannot change a dict
		},
	}
}

// valueOr returns v, or fallback if the argument was not given.
func valueOr(v, fallback value) value {
	if given(v) {
		return v
	}
	return fallback
}

type listFunction = func(r *renderer, l *list, args arguments) (value, error)

// newListMethods returns the methods of a list that do not change it.
func newListMethods() map[string]listFunction {
	return map[string]listFunction{
		"count": func(r *renderer, l *list, args arguments) (value, error) {
			bound, err := args.bind("count", 1, "value")
			if err != nil {
				return nil, err
			}
			n := int64(0)
			for _, item := range l.items {
				same, err := r.equal(item, bound[0])
				if err != nil {
					return nil, err
				}
				if same {
					n++
				}
			}
			return n, nil
		},
		"index": func(r *renderer, l *list, args arguments) (value, error) {
			bound, err := args.bind("index", 1, "value")
			if err != nil {
				return nil, err
			}
			for i, item := range l.items {
				if same, err := r.equal(item, bound[0]); err != nil || same {
					return int64(i), err
				}
			}
			return nil, fmt.Errorf("the value is not in the %s", typeName(l))
		},
		"copy": func(r *renderer, l *list, args arguments) (value, error) {
			_, err := args.bind("copy", 0)
			return l, err // no copy: templates cannot change a list
		},
	}
}

// of evaluates object[start:stop:step].
func (n *sliceKey) of(r *renderer, s *scope, object value) (value, error) {
	if u, ok := object.(*undefined); ok {
		return nil, u.fail()
	}
	var bounds [3]*int64
	for i, part := range []expression{n.start, n.stop, n.step} {
		if part == nil {
			continue
		}
		v, err := r.eval(part, s)
		if err != nil {
			return nil, err
		}
		if number, ok := asInteger(v); ok {
			bounds[i] = &number
		} else if v != nil {
			return missingElement(object, "slice"), nil
		}
	}
	if bounds[2] != nil && *bounds[2] == 0 {
		return nil, fmt.Errorf("slice step cannot be zero")
	}
	if l, ok := object.(*list); ok && l.kind != isView {
		indices := sliceIndices(bounds, len(l.items))
		out := &list{items: make([]value, len(indices)), kind: l.kind}
		for i, index := range indices {
			out.items[i] = l.items[index]
		}
		return out, r.step(len(indices))
	}
	whole, ok := text(object)
	if !ok {
		return &undefined{message: objectName(object) + " has no element slice"}, nil
	}
	if err := r.spend(len(whole)); err != nil {
		return nil, err
	}
	runes := []rune(whole)
	if bounds[2] == nil || *bounds[2] == 1 {
		start, stop := sliceBounds(bounds, len(runes), 1)
		return string(runes[start:max(start, stop)]), nil
	}
	var out strings.Builder
	for _, index := range sliceIndices(bounds, len(runes)) {
		out.WriteRune(runes[index])
	}
	return out.String(), nil
}

// sliceBounds returns the first index of a slice and the index after its last, like Python's slice.indices.
func sliceBounds(bounds [3]*int64, length int, step int64) (start, stop int) {
	low, high := 0, length
	if step < 0 {
		low, high = -1, length-1
	}
	clip := func(bound *int64, fallback int) int {
		if bound == nil {
			return fallback
		}
		i := *bound
		if i < 0 {
			i += int64(length)
		}
		return int(min(max(i, int64(low)), int64(high)))
	}
	if step < 0 {
		return clip(bounds[0], high), clip(bounds[1], low)
	}
	return clip(bounds[0], low), clip(bounds[1], high)
}

// sliceIndices returns the indices that a slice selects.
func sliceIndices(bounds [3]*int64, length int) []int {
	step := int64(1)
	if bounds[2] != nil {
		step = *bounds[2]
	}
	start, stop := sliceBounds(bounds, length, step)
	var out []int
	for i := int64(start); step > 0 && i < int64(stop) || step < 0 && i > int64(stop); i += step {
		out = append(out, int(i))
		if step > int64(length) || step < -int64(length) {
			break
		}
	}
	return out
}
