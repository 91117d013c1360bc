package jinja

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// percent evaluates text % values.
func (r *renderer) percent(format string, right value) (value, error) {
	values := []value{right}
	if l, ok := right.(*list); ok && l.kind == isTuple {
		values = l.items
	}
	used := 0
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(format, "%")
		out.WriteString(before)
		if !found {
			break
		}
		if rest, ok := strings.CutPrefix(rest, "%"); ok {
			out.WriteByte('%')
			format = rest
			continue
		}
		var v value
		if after, ok := strings.CutPrefix(rest, "("); ok {
			name, after, ok := strings.Cut(after, ")")
			members, isDict := right.(*dict)
			if !ok || !isDict {
				return nil, errors.New("format requires a mapping")
			}
			if v, ok = members.get(name); !ok {
				return nil, fmt.Errorf("KeyError: %s", reprString(name))
			}
			rest, used = after, len(values)
		} else {
			if used >= len(values) {
				return nil, errors.New("not enough arguments for format string")
			}
			v = values[used]
			used++
		}
		s, n, err := percentSpec(rest)
		if err != nil {
			return nil, err
		}
		text, err := s.percent(v)
		if err != nil {
			return nil, err
		}
		if err := r.spend(out.Len() + len(text)); err != nil {
			return nil, err
		}
		out.WriteString(text)
		format = rest[n:]
	}
	if _, isDict := right.(*dict); used < len(values) && !isDict {
		return nil, errors.New("not all arguments converted during string formatting")
	}
	return out.String(), r.spend(out.Len())
}

// percentSpec parses flags, width, precision and verb, and returns how many bytes they have.
func percentSpec(s string) (spec, int, error) {
	out := spec{fill: " ", precision: -1, align: '>'}
	i := 0
	for ; i < len(s) && strings.IndexByte("-+ 0#", s[i]) >= 0; i++ {
		switch s[i] {
		case '-':
			out.align = '<'
		case '0':
			out.zero = true
		case '#':
			out.alternate = true
		default:
			out.sign = s[i]
		}
	}
	var err error
	if i, err = out.size(s, i); err != nil {
		return out, 0, err
	}
	if i == len(s) {
		return out, 0, errors.New("incomplete format")
	}
	out.verb = s[i]
	return out, i + 1, nil
}

// size parses width and precision, starting at index i.
func (s *spec) size(text string, i int) (int, error) {
	number := func(from int) (int, int, error) {
		to := from + digits(text[from:], "0123456789")
		n, _ := strconv.Atoi(text[from:to])
		if n > maxWidth {
			return 0, 0, &LimitError{What: "width of a value", Limit: maxWidth}
		}
		return n, to, nil
	}
	var err error
	if s.width, i, err = number(i); err != nil {
		return i, err
	}
	if i < len(text) && text[i] == ',' {
		s.comma = true
		i++
	}
	if i < len(text) && text[i] == '.' {
		s.precision, i, err = number(i + 1)
	}
	return i, err
}
