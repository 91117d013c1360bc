package jinja

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// split returns the method split or rsplit, which splits a text at a separator or at white space, at most a given
// number of times.
func split(name string, fromRight bool) stringFunction {
	return func(r *renderer, s string, args arguments) (value, error) {
		bound, err := args.bind(name, 0, "sep", "maxsplit")
		if err != nil {
			return nil, err
		}
		most := int64(-1)
		if given(bound[1]) {
			var ok bool
			if most, ok = asInteger(bound[1]); !ok {
				return nil, fmt.Errorf("'%s' object cannot be interpreted as an integer", typeName(bound[1]))
			}
		}
		if separator := valueOr(bound[0], nil); separator != nil {
			by, ok := text(separator)
			switch {
			case !ok:
				return nil, fmt.Errorf("must be str or None, not %s", typeName(separator))
			case by == "":
				return nil, errors.New("empty separator")
			}
			return r.texts(splitBy(s, by, most, fromRight))
		}
		return r.texts(splitSpace(s, most, fromRight))
	}
}

// texts returns a list of strings as a value.
func (r *renderer) texts(parts []string) (value, error) {
	if len(parts) > maxElements {
		return nil, &LimitError{What: "elements of a list", Limit: maxElements}
	}
	out := &list{items: make([]value, len(parts))}
	for i, part := range parts {
		out.items[i] = part
	}
	return out, r.step(len(parts))
}

func splitBy(s, by string, most int64, fromRight bool) []string {
	all := strings.Count(s, by)
	if most < 0 || most >= int64(all) {
		return strings.Split(s, by)
	}
	if !fromRight {
		return strings.SplitN(s, by, int(most)+1)
	}
	parts := make([]string, most+1)
	for i := most; i > 0; i-- {
		at := strings.LastIndex(s, by)
		parts[i] = s[at+len(by):]
		s = s[:at]
	}
	parts[0] = s
	return parts
}

func splitSpace(s string, most int64, fromRight bool) []string {
	words := strings.FieldsFunc(s, isSpace)
	if most < 0 || most >= int64(len(words)) {
		return words
	}
	var parts []string
	if fromRight {
		s = strings.TrimRightFunc(s, isSpace)
		for range most {
			at := strings.LastIndexFunc(s, isSpace)
			_, size := utf8.DecodeRuneInString(s[at:])
			parts = append([]string{s[at+size:]}, parts...)
			s = strings.TrimRightFunc(s[:at], isSpace)
		}
		return append([]string{s}, parts...)
	}
	s = strings.TrimLeftFunc(s, isSpace)
	for range most {
		at := strings.IndexFunc(s, isSpace)
		parts = append(parts, s[:at])
		s = strings.TrimLeftFunc(s[at:], isSpace)
	}
	return append(parts, s)
}

func splitLines(r *renderer, s string, args arguments) (value, error) {
	bound, err := args.bind("splitlines", 0, "keepends")
	if err != nil {
		return nil, err
	}
	keep := truth(valueOr(bound[0], false))
	var lines []string
	for s != "" {
		at := strings.IndexAny(s, "\n\r\v\f\x1c\x1d\x1e\u0085\u2028\u2029")
		if at < 0 {
			lines = append(lines, s)
			break
		}
		_, size := utf8.DecodeRuneInString(s[at:])
		if strings.HasPrefix(s[at:], "\r\n") {
			size = 2
		}
		if keep {
			lines = append(lines, s[:at+size])
		} else {
			lines = append(lines, s[:at])
		}
		s = s[at+size:]
	}
	return r.texts(lines)
}

func partition(name string, index func(s, part string) int, last bool) stringFunction {
	return func(_ *renderer, s string, args arguments) (value, error) {
		by, _, err := textArguments(args, name, 1, "sep")
		if err != nil {
			return nil, err
		}
		if by == "" {
			return nil, errors.New("empty separator")
		}
		at := index(s, by)
		parts := []value{s, "", ""}
		if at >= 0 {
			parts = []value{s[:at], by, s[at+len(by):]}
		} else if last {
			parts = []value{"", "", s}
		}
		return &list{items: parts, kind: isTuple}, nil
	}
}
