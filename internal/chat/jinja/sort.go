package jinja

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// lowered returns text in lower case and any other value unchanged, because sorting ignores case by default.
func lowered(v value) value {
	if s, ok := text(v); ok {
		return strings.ToLower(s)
	}
	return v
}

// part returns an attribute of an element. path consists of names and numbers separated by dots.
func (r *renderer) part(v, path value) (value, error) { return r.partOr(v, path, absent{}) }

// partOr is like part. If a fallback is given, it is the value of each step of the path that does not exist.
func (r *renderer) partOr(v, path, fallback value) (value, error) {
	if path == nil || !given(path) {
		return v, nil
	}
	if n, ok := path.(int64); ok {
		out, err := r.item(v, n)
		if isUndefined(out) {
			out = valueOr(fallback, out)
		}
		return out, err
	}
	name, ok := text(path)
	if !ok {
		return nil, fmt.Errorf("'%s' object is no attribute", typeName(path))
	}
	for step := range strings.SplitSeq(name, ".") {
		var key value = step
		if n, err := strconv.ParseInt(step, 10, 64); err == nil && n >= 0 {
			key = n
		}
		var err error
		if v, err = r.item(v, key); err != nil {
			return nil, err
		}
		if isUndefined(v) {
			v = valueOr(fallback, v)
		}
	}
	return v, nil
}

// keyed is an element with its sort key.
type keyed struct{ key, value value }

// keys returns each element with its sort key: an attribute, in lower case unless caseSensitive.
func (r *renderer) keys(elements []value, attribute value, caseSensitive bool) ([]keyed, error) {
	out := make([]keyed, len(elements))
	for i, element := range elements {
		var parts []value
		paths := []value{attribute}
		if names, ok := text(attribute); ok && strings.Contains(names, ",") {
			paths = nil
			for name := range strings.SplitSeq(names, ",") {
				paths = append(paths, name)
			}
		}
		for _, path := range paths {
			part, err := r.part(element, path)
			if err != nil {
				return nil, err
			}
			if !caseSensitive {
				part = lowered(part)
			}
			parts = append(parts, part)
		}
		out[i] = keyed{key: parts[0], value: element}
		if len(parts) > 1 {
			out[i].key = &list{items: parts}
		}
	}
	return out, nil
}

// sort sorts elements by key. It is stable.
func (r *renderer) sort(elements []keyed, reverse bool) error {
	var failed error
	slices.SortStableFunc(elements, func(a, b keyed) int {
		if failed != nil {
			return 0
		}
		var order int
		if order, failed = r.order("<", a.key, b.key); order == unordered {
			order = 0
		}
		if err := r.step(1); failed == nil {
			failed = err
		}
		if reverse {
			order = -order
		}
		return order
	})
	return failed
}

func values(elements []keyed) []value {
	out := make([]value, len(elements))
	for i, element := range elements {
		out[i] = element.value
	}
	return out
}

func sorted(r *renderer, v value, args arguments) (value, error) {
	bound, err := args.bind("sort", 0, "reverse", "case_sensitive", "attribute")
	if err != nil {
		return nil, err
	}
	elements, err := r.elements(v)
	if err != nil {
		return nil, err
	}
	keys, err := r.keys(elements, valueOr(bound[2], nil), truth(valueOr(bound[1], false)))
	if err != nil {
		return nil, err
	}
	err = r.sort(keys, truth(valueOr(bound[0], false)))
	return &list{items: values(keys)}, err
}

func dictSort(r *renderer, v value, args arguments) (value, error) {
	bound, err := args.bind("dictsort", 0, "case_sensitive", "by", "reverse")
	if err != nil {
		return nil, err
	}
	d, ok := v.(*dict)
	if !ok {
		if u, ok := v.(*undefined); ok {
			return nil, u.fail()
		}
		return nil, fmt.Errorf("'%s' object has no attribute 'items'", typeName(v))
	}
	by := int64(0)
	switch valueOr(bound[1], "key") {
	case "key":
	case "value":
		by = 1
	default:
		return nil, errors.New(`You can only sort by either "key" or "value"`) //nolint:staticcheck // Jinja2's own words
	}
	keys, err := r.keys(d.pairs(), by, truth(valueOr(bound[0], false)))
	if err != nil {
		return nil, err
	}
	err = r.sort(keys, truth(valueOr(bound[2], false)))
	return &list{items: values(keys)}, err
}

func unique(r *renderer, v value, args arguments) (value, error) {
	bound, err := args.bind("unique", 0, "case_sensitive", "attribute")
	if err != nil {
		return nil, err
	}
	elements, err := r.elements(v)
	if err != nil {
		return nil, err
	}
	keys, err := r.keys(elements, valueOr(bound[1], nil), truth(valueOr(bound[0], false)))
	if err != nil {
		return nil, err
	}
	seen := map[any]bool{}
	var out []value
	for _, element := range keys {
		hash, err := hashOf(element.key)
		if err != nil {
			return nil, err
		}
		if !seen[hash] {
			seen[hash] = true
			out = append(out, element.value)
		}
	}
	return generate("generator", out), nil
}

// extreme returns the filter for the smallest or the largest element.
func extreme(name, operator string) filterFunction {
	return func(r *renderer, v value, args arguments) (value, error) {
		bound, err := args.bind(name, 0, "case_sensitive", "attribute")
		if err != nil {
			return nil, err
		}
		elements, err := r.elements(v)
		if err != nil {
			return nil, err
		}
		keys, err := r.keys(elements, valueOr(bound[1], nil), truth(valueOr(bound[0], false)))
		if err != nil {
			return nil, err
		}
		if len(keys) == 0 {
			return &undefined{message: "No aggregated item, sequence was empty."}, nil
		}
		best := keys[0]
		for _, element := range keys[1:] {
			better, err := r.compare(operator, element.key, best.key)
			if err != nil {
				return nil, err
			}
			if better {
				best = element
			}
		}
		return best.value, nil
	}
}
