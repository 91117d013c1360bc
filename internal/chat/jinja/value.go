package jinja

import (
	"fmt"
	"math"
	"math/big"
	"unicode/utf8"
)

// value is a value of a template. It is nil (None), bool, int64, *big.Int (which is only passed through), float64,
// string, markup, *list, *dict, *generator, *namespace, *loop, *function or *undefined.
type value any

// markup is a string that is safe for HTML. The operator + escapes other strings before it joins them with markup.
type markup string

// listKind says which of Python's types a list is.
type listKind int

const (
	isList listKind = iota
	isTuple
	isRange
	isView // a view of a dict, which has no elements by index
)

// list is a list, a tuple, a range, or a view of a dict. Templates cannot change it.
type list struct {
	items []value
	kind  listKind
}

// dict is a mapping that keeps the order of its keys. Templates cannot change it.
type dict struct {
	keys   []value
	values map[any]value // by hashOf of the key
}

func newDict() *dict { return &dict{values: map[any]value{}} }

// set adds or replaces a member.
func (d *dict) set(key, v value) error {
	hash, err := hashOf(key)
	if err != nil {
		return err
	}
	if _, known := d.values[hash]; !known {
		d.keys = append(d.keys, key)
	}
	d.values[hash] = v
	return nil
}

func (d *dict) get(key value) (value, bool) {
	hash, err := hashOf(key)
	if err != nil {
		return nil, false
	}
	v, ok := d.values[hash]
	return v, ok
}

// at returns the value of a key, which the dict must have.
func (d *dict) at(key value) value {
	v, _ := d.get(key)
	return v
}

// pairs returns the members as tuples.
func (d *dict) pairs() []value {
	out := make([]value, len(d.keys))
	for i, key := range d.keys {
		out[i] = &list{items: []value{key, d.at(key)}, kind: isTuple}
	}
	return out
}

func (d *dict) members() []value {
	out := make([]value, len(d.keys))
	for i, key := range d.keys {
		out[i] = d.at(key)
	}
	return out
}

// noneHash is what hashOf returns for None.
type noneHash struct{}

// tupleHash is what hashOf returns for a tuple: its repr.
type tupleHash string

// hashOf returns a Go map key that is the same for values that are the same key in Python.
func hashOf(key value) (any, error) {
	switch k := key.(type) {
	case nil:
		return noneHash{}, nil
	case string:
		return k, nil
	case markup:
		return string(k), nil
	case bool, int64:
		return integer(k), nil
	case float64:
		if k == math.Trunc(k) && math.Abs(k) < 1<<53 {
			return int64(k), nil
		}
		return k, nil
	case *list:
		if k.kind == isTuple {
			text, err := reprOf(k)
			return tupleHash(text), err
		}
	case *undefined:
		return noneHash{}, nil
	}
	return nil, fmt.Errorf("unhashable type: '%s'", typeName(key))
}

// namespace is the only kind of value that templates can change.
type namespace struct{ members *dict }

// generator yields each of its elements once.
type generator struct {
	next func() (value, bool, error) // false if there are no more
	name string                      // name of its Python type
}

// function is a global, a macro or a method. r is the renderer that calls it.
type function struct {
	name string
	call func(r *renderer, args arguments) (value, error)
}

// undefined is the value of a name, attribute or element that does not exist. Templates can print it, loop over it and
// test it. Anything else is an error.
type undefined struct{ message string }

// fail returns the error for an operation that the undefined value does not allow.
func (u *undefined) fail() error { return &UndefinedError{Message: u.message} }

// UndefinedError means that a template used an undefined value.
type UndefinedError struct{ Message string }

// Error implements error.
func (e *UndefinedError) Error() string { return e.Message }

func missingName(name string) *undefined {
	return &undefined{message: reprString(name) + " is undefined"}
}

func missingAttribute(object value, name string) *undefined {
	return &undefined{message: fmt.Sprintf("%s has no attribute %s", reprString(objectName(object)), reprString(name))}
}

func missingElement(object, key value) *undefined {
	if name, ok := key.(string); ok {
		return missingAttribute(object, name)
	}
	text, err := reprOf(key)
	if err != nil {
		text = typeName(key)
	}
	return &undefined{message: fmt.Sprintf("%s has no element %s", objectName(object), text)}
}

// objectName returns Jinja2's name of a value in errors.
func objectName(v value) string {
	if v == nil {
		return "None"
	}
	return typeName(v) + " object"
}

// typeName returns the name of a value's Python type.
func typeName(v value) string {
	switch v := v.(type) {
	case nil:
		return "NoneType"
	case bool:
		return "bool"
	case int64, *big.Int:
		return "int"
	case float64:
		return "float"
	case string:
		return "str"
	case markup:
		return "markupsafe.Markup"
	case *list:
		return [...]string{"list", "tuple", "range", "dict_view"}[v.kind]
	case *dict:
		return "dict"
	case *generator:
		return v.name
	case *namespace:
		return "jinja2.utils.Namespace"
	case *loop:
		return "jinja2.runtime.LoopContext"
	case *undefined:
		return "Undefined"
	}
	return "function"
}

// truth is Python's bool().
func truth(v value) bool {
	switch v := v.(type) {
	case nil, *undefined:
		return false
	case bool:
		return v
	case int64:
		return v != 0
	case *big.Int:
		return v.Sign() != 0
	case float64:
		return v != 0
	case string:
		return v != ""
	case markup:
		return v != ""
	case *list:
		return len(v.items) > 0
	case *dict:
		return len(v.keys) > 0
	}
	return true
}

// text returns a string or markup value as a string, or false for any other value.
func text(v value) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case markup:
		return string(v), true
	}
	return "", false
}

// integer returns the value of an integer or, as in Python, of a bool. For any other value it returns 0.
func integer(v value) int64 {
	switch v := v.(type) {
	case int64:
		return v
	case bool:
		if v {
			return 1
		}
	}
	return 0
}

// asInteger is like integer, but returns false for any other value.
func asInteger(v value) (int64, bool) {
	switch v.(type) {
	case int64, bool:
		return integer(v), true
	}
	return 0, false
}

// lengthOf is Python's len().
func lengthOf(v value) (int, error) {
	switch v := v.(type) {
	case string:
		return utf8.RuneCountInString(v), nil
	case markup:
		return utf8.RuneCountInString(string(v)), nil
	case *list:
		return len(v.items), nil
	case *dict:
		return len(v.keys), nil
	case *undefined:
		return 0, nil
	case *loop:
		return v.length()
	}
	return 0, fmt.Errorf("object of type '%s' has no len()", typeName(v))
}
