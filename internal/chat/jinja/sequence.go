package jinja

import (
	"errors"
	"fmt"
	"slices"
)

// newSequenceFilters returns the filters of lists, mappings and other values with elements.
func newSequenceFilters() map[string]filterFunction {
	return map[string]filterFunction{
		"length": length, "first": first, "last": last, "list": toList, "reverse": reverse,
		"items": items, "dictsort": dictSort, "sort": sorted, "unique": unique, "min": extreme("min", "<"), "max": extreme("max", ">"),
		"sum": sum, "join": join, "map": mapped, "batch": batch, "slice": sliced, "groupby": groupBy,
		"select": selecting(false, true), "reject": selecting(false, false),
		"selectattr": selecting(true, true), "rejectattr": selecting(true, false),
	}
}

func length(_ *renderer, v value, args arguments) (value, error) {
	if _, err := args.bind("length", 0); err != nil {
		return nil, err
	}
	n, err := lengthOf(v)
	return int64(n), err
}

func first(r *renderer, v value, args arguments) (value, error) {
	if _, err := args.bind("first", 0); err != nil {
		return nil, err
	}
	source, err := r.iterate(v)
	if err != nil {
		return nil, err
	}
	element, more, err := source.next()
	if !more {
		element = &undefined{message: "No first item, sequence was empty."}
	}
	return element, err
}

func last(r *renderer, v value, args arguments) (value, error) {
	if _, err := args.bind("last", 0); err != nil {
		return nil, err
	}
	if _, ok := v.(*generator); ok {
		return nil, fmt.Errorf("'%s' object is not reversible", typeName(v))
	}
	elements, err := r.elements(v)
	if err != nil {
		return nil, err
	}
	if len(elements) == 0 {
		return &undefined{message: "No last item, sequence was empty."}, nil
	}
	return elements[len(elements)-1], nil
}

func toList(r *renderer, v value, args arguments) (value, error) {
	if _, err := args.bind("list", 0); err != nil {
		return nil, err
	}
	elements, err := r.elements(v)
	return &list{items: slices.Clone(elements)}, err
}

func reverse(r *renderer, v value, args arguments) (value, error) {
	if _, err := args.bind("reverse", 0); err != nil {
		return nil, err
	}
	if s, ok := text(v); ok {
		runes := []rune(s)
		slices.Reverse(runes)
		return string(runes), r.spend(len(s))
	}
	elements, err := r.elements(v)
	if err != nil {
		return nil, fmt.Errorf("argument must be iterable")
	}
	elements = slices.Clone(elements)
	slices.Reverse(elements)
	if _, once := v.(*generator); once {
		return &list{items: elements}, nil
	}
	return generate("list_reverseiterator", elements), nil
}

func items(_ *renderer, v value, args arguments) (value, error) {
	if _, err := args.bind("items", 0); err != nil {
		return nil, err
	}
	// Like Jinja2, do not look at the value before the first pair is read.
	var pairs *generator
	return &generator{name: "generator", next: func() (value, bool, error) {
		if pairs == nil {
			d, ok := v.(*dict)
			switch {
			case ok:
				pairs = generate("generator", d.pairs())
			case isUndefined(v):
				return nil, false, nil
			default:
				return nil, false, errors.New("Can only get item pairs from a mapping.") //nolint:staticcheck // Jinja2's own words
			}
		}
		return pairs.next()
	}}, nil
}

func sum(r *renderer, v value, args arguments) (value, error) {
	bound, err := args.bind("sum", 0, "attribute", "start")
	if err != nil {
		return nil, err
	}
	elements, err := r.elements(v)
	if err != nil {
		return nil, err
	}
	total := valueOr(bound[1], int64(0))
	if _, ok := text(total); ok {
		return nil, errors.New("sum() can't sum strings [use ''.join(seq) instead]")
	}
	for _, element := range elements {
		part, err := r.part(element, valueOr(bound[0], nil))
		if err != nil {
			return nil, err
		}
		if total, err = r.binary("+", total, part); err != nil {
			return nil, err
		}
	}
	return total, nil
}

func join(r *renderer, v value, args arguments) (value, error) {
	bound, err := args.bind("join", 0, "d", "attribute")
	if err != nil {
		return nil, err
	}
	by, err := strOf(valueOr(bound[0], ""))
	if err != nil {
		return nil, err
	}
	elements, err := r.elements(v)
	if err != nil {
		return nil, err
	}
	parts := make([]value, len(elements))
	for i, element := range elements {
		if parts[i], err = r.part(element, valueOr(bound[1], nil)); err != nil {
			return nil, err
		}
	}
	return r.joinTexts(by, parts)
}

// lazily returns a generator of the results of f for each element. It omits an element if f returns false. As in
// Jinja2, a value that counts as false, such as None, has no elements.
func (r *renderer) lazily(v value, f func(element value) (value, bool, error)) *generator {
	var source *generator
	return &generator{name: "generator", next: func() (value, bool, error) {
		for {
			if !truth(v) {
				return nil, false, nil
			}
			if source == nil {
				var err error
				if source, err = r.iterate(v); err != nil {
					return nil, false, err
				}
			}
			element, more, err := source.next()
			if err != nil || !more {
				return nil, false, err
			}
			if err := r.step(1); err != nil {
				return nil, false, err
			}
			out, keep, err := f(element)
			if err != nil || keep {
				return out, err == nil, err
			}
		}
	}}
}

// mapped returns an attribute of each element, or the result of a filter for each element.
func mapped(r *renderer, v value, args arguments) (value, error) {
	if attribute, ok := args.named["attribute"]; ok && len(args.positional) == 0 {
		bound, err := args.bind("map", 0, "attribute", "default")
		if err != nil {
			return nil, err
		}
		return r.lazily(v, func(element value) (value, bool, error) {
			out, err := r.partOr(element, attribute, bound[1])
			return out, true, err
		}), nil
	}
	if len(args.positional) == 0 {
		return nil, errors.New("map requires a filter argument")
	}
	name, _ := text(args.positional[0])
	args.positional = args.positional[1:]
	return r.lazily(v, func(element value) (value, bool, error) {
		out, err := r.filter(name, element, args)
		return out, true, err
	}), nil
}

// selecting returns a filter that keeps or omits the elements for which a test holds. With attribute it tests an
// attribute of each element.
func selecting(attribute, keep bool) filterFunction {
	return func(r *renderer, v value, args arguments) (value, error) {
		var path value
		if attribute {
			if len(args.positional) == 0 {
				return nil, errors.New("Missing parameter for attribute name") //nolint:staticcheck // Jinja2's own words
			}
			path, args.positional = args.positional[0], args.positional[1:]
		}
		test := func(element value) (bool, error) { return truth(element), nil }
		if len(args.positional) > 0 {
			name, _ := text(args.positional[0])
			args.positional = args.positional[1:]
			test = func(element value) (bool, error) { return r.test(name, element, args) }
		}
		return r.lazily(v, func(element value) (value, bool, error) {
			part, err := r.part(element, path)
			if err != nil {
				return nil, false, err
			}
			holds, err := test(part)
			return element, holds == keep, err
		}), nil
	}
}

// batch splits a value into lists of a given number of elements.
func batch(r *renderer, v value, args arguments) (value, error) {
	bound, err := args.bind("batch", 1, "linecount", "fill_with")
	if err != nil {
		return nil, err
	}
	elements, err := r.elements(v)
	if err != nil {
		return nil, err
	}
	size := int(min(max(integer(bound[0]), 1), maxElements))
	var out []value
	for chunk := range slices.Chunk(elements, size) {
		chunk = slices.Clone(chunk)
		if fill := valueOr(bound[1], nil); fill != nil {
			for len(chunk) < size {
				chunk = append(chunk, fill)
			}
		}
		out = append(out, &list{items: chunk})
	}
	return generate("generator", out), r.step(size)
}

// sliced splits a value into a given number of lists.
func sliced(r *renderer, v value, args arguments) (value, error) {
	bound, err := args.bind("slice", 1, "slices", "fill_with")
	if err != nil {
		return nil, err
	}
	elements, err := r.elements(v)
	if err != nil {
		return nil, err
	}
	count := int(min(max(integer(bound[0]), 1), maxElements))
	size, longer := len(elements)/count, len(elements)%count
	fill := valueOr(bound[1], nil)
	var out []value
	for i := range count {
		n := size
		if i < longer {
			n++
		}
		part := slices.Clone(elements[:n])
		if elements = elements[n:]; fill != nil && i >= longer && longer > 0 {
			part = append(part, fill)
		}
		out = append(out, &list{items: part})
	}
	return generate("generator", out), r.step(count)
}

// groupBy returns tuples of a key and the elements that have this key.
func groupBy(r *renderer, v value, args arguments) (value, error) {
	bound, err := args.bind("groupby", 1, "attribute", "default", "case_sensitive")
	if err != nil {
		return nil, err
	}
	elements, err := r.elements(v)
	if err != nil {
		return nil, err
	}
	keys, err := r.keys(elements, bound[0], truth(valueOr(bound[2], false)))
	if err != nil {
		return nil, err
	}
	for i := range keys {
		if isUndefined(keys[i].key) {
			keys[i].key = valueOr(bound[1], keys[i].key)
		}
	}
	if err := r.sort(keys, false); err != nil {
		return nil, err
	}
	out := &list{}
	for len(keys) > 0 {
		n := 1
		for n < len(keys) {
			same, err := r.equal(keys[0].key, keys[n].key)
			if err != nil {
				return nil, err
			}
			if !same {
				break
			}
			n++
		}
		key, err := r.part(keys[0].value, bound[0])
		if err != nil {
			return nil, err
		}
		if isUndefined(key) {
			key = valueOr(bound[1], key)
		}
		out.items = append(out.items, &list{items: []value{key, &list{items: values(keys[:n])}}, kind: isTuple})
		keys = keys[n:]
	}
	return out, nil
}
