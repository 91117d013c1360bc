package jinja

import (
	"fmt"
	"math/big"
	"reflect"
	"strings"
	"unicode"
)

// testFunction implements a test: value is name(arguments).
type testFunction = func(r *renderer, v value, args arguments) (bool, error)

func is(name string, holds func(v value) bool) testFunction {
	return func(_ *renderer, v value, args arguments) (bool, error) {
		_, err := args.bind(name, 0)
		return holds(v), err
	}
}

// comparing returns a test that compares with another value.
func comparing(operator string) testFunction {
	return func(r *renderer, v value, args arguments) (bool, error) {
		bound, err := args.bind(operator, 1, "other")
		if err != nil {
			return false, err
		}
		return r.compare(operator, v, bound[0])
	}
}

// divides returns a test of an integer's remainder.
func divides(name string, by, rest int64) testFunction {
	return func(r *renderer, v value, args arguments) (bool, error) {
		var divisor value = by
		if by == 0 {
			bound, err := args.bind(name, 1, "num")
			if err != nil {
				return false, err
			}
			divisor = bound[0]
		}
		got, err := r.binary("%", v, divisor)
		if err != nil {
			return false, err
		}
		return r.equal(got, rest)
	}
}

func isUndefined(v value) bool {
	_, is := v.(*undefined)
	return is
}

func isInteger(v value) bool {
	switch v.(type) {
	case int64, *big.Int:
		return true
	}
	return false
}

func isIterable(v value) bool {
	switch v.(type) {
	case string, markup, *list, *dict, *generator, *undefined, *loop:
		return true
	}
	return false
}

// isSequence reports whether a value has a length and elements by index or key.
func isSequence(v value) bool {
	switch v := v.(type) {
	case string, markup, *dict, *undefined:
		return true
	case *list:
		return v.kind != isView
	}
	return false
}

func isCase(of, other func(rune) bool) func(v value) bool {
	return func(v value) bool {
		s, err := strOf(v)
		return err == nil && strings.IndexFunc(s, of) >= 0 && strings.IndexFunc(s, other) < 0
	}
}

// same is Python's operator is: it reports whether both values are the same object, or the same singleton such as None.
func same(a, b value) bool {
	if reflect.TypeOf(a) != reflect.TypeOf(b) {
		return false
	}
	switch a.(type) {
	case nil, bool, int64, string, *list, *dict, *namespace, *function, *generator, *loop, *undefined:
		return a == b
	}
	return false
}

// newTests returns the tests of Jinja2.
func newTests() map[string]testFunction {
	out := map[string]testFunction{
		"defined":   is("defined", func(v value) bool { return !isUndefined(v) }),
		"undefined": is("undefined", isUndefined),
		"none":      is("none", func(v value) bool { return v == nil }),
		"boolean":   is("boolean", func(v value) bool { _, is := v.(bool); return is }),
		"true":      is("true", func(v value) bool { return v == true }),
		"false":     is("false", func(v value) bool { return v == false }),
		"integer":   is("integer", isInteger),
		"float":     is("float", func(v value) bool { _, is := v.(float64); return is }),
		"number": is("number", func(v value) bool {
			_, is := asFloat(v)
			return is || isInteger(v)
		}),
		"string":   is("string", func(v value) bool { _, is := text(v); return is }),
		"mapping":  is("mapping", func(v value) bool { _, is := v.(*dict); return is }),
		"sequence": is("sequence", isSequence),
		"iterable": is("iterable", isIterable),
		"callable": is("callable", func(v value) bool {
			switch v.(type) {
			case *function, *loop, *undefined:
				return true
			}
			return false
		}),
		"escaped":     is("escaped", func(v value) bool { _, is := v.(markup); return is }),
		"lower":       is("lower", isCase(unicode.IsLower, unicode.IsUpper)),
		"upper":       is("upper", isCase(unicode.IsUpper, unicode.IsLower)),
		"odd":         divides("odd", 2, 1),
		"even":        divides("even", 2, 0),
		"divisibleby": divides("divisibleby", 0, 0),
		"eq":          comparing("=="), "ne": comparing("!="), "lt": comparing("<"), "le": comparing("<="), "gt": comparing(">"), "ge": comparing(">="),
		"in": comparing("in"),
		"sameas": func(_ *renderer, v value, args arguments) (bool, error) {
			bound, err := args.bind("sameas", 1, "other")
			return err == nil && same(v, bound[0]), err
		},
		"filter": known("filter", func(r *renderer, name string) bool { return r.env.filters[name] != nil }),
		"test":   known("test", func(r *renderer, name string) bool { return r.env.tests[name] != nil }),
	}
	for alias, name := range map[string]string{
		"equalto": "eq", "==": "eq", "!=": "ne", "lessthan": "lt", "<": "lt", "<=": "le", "greaterthan": "gt", ">": "gt", ">=": "ge",
	} {
		out[alias] = out[name]
	}
	return out
}

// known returns a test that reports whether there is a filter or test with a name.
func known(kind string, has func(r *renderer, name string) bool) testFunction {
	return func(r *renderer, v value, args arguments) (bool, error) {
		if _, err := args.bind(kind, 0); err != nil {
			return false, err
		}
		name, ok := text(v)
		if !ok {
			return false, fmt.Errorf("unhashable type: '%s'", typeName(v))
		}
		return has(r, name), nil
	}
}
