package jinja

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxWidth bounds the width and precision of a formatted value.
const maxWidth = 1000

// spec says how to format one value.
type spec struct {
	fill      string
	align     byte // <, > or ^; 0 for the default of the value's type
	sign      byte // + or space before positive numbers; 0 for neither
	zero      bool
	alternate bool
	comma     bool
	width     int
	precision int // -1 if there is none
	verb      byte
}

// percent formats a value with a verb of the operator %.
func (s spec) percent(v value) (string, error) {
	switch s.verb {
	case 's', 'r':
		text, err := strOf(v)
		if s.verb == 'r' {
			text, err = reprOf(v)
		}
		s.zero = false
		return s.padded(s.cut(text)), err
	case 'd', 'i', 'u':
		if f, ok := v.(float64); ok {
			v = int64(f)
		}
		n, ok := asInteger(v)
		if !ok {
			return "", fmt.Errorf("%%%c format: a real number is required, not %s", s.verb, typeName(v))
		}
		return s.number(strconv.FormatInt(n, 10)), nil
	}
	return s.numeric(v)
}

// cut truncates text to the precision, in characters.
func (s spec) cut(text string) string {
	if s.precision >= 0 && utf8.RuneCountInString(text) > s.precision {
		return string([]rune(text)[:s.precision])
	}
	return text
}

// numeric formats a number with a verb that the operator % and format share.
func (s spec) numeric(v value) (string, error) {
	if strings.IndexByte("xXobc", s.verb) >= 0 {
		n, ok := asInteger(v)
		if !ok {
			return "", fmt.Errorf("%%%c format: an integer is required, not %s", s.verb, typeName(v))
		}
		switch {
		case s.verb == 'c':
			return s.padded(string(rune(n))), nil
		case s.alternate:
			return s.number(fmt.Sprintf("%#"+string(s.verb), n)), nil
		}
		return s.number(fmt.Sprintf("%"+string(s.verb), n)), nil
	}
	f, ok := asFloat(v)
	if !ok {
		return "", fmt.Errorf("must be real number, not %s", typeName(v))
	}
	precision := s.precision
	if precision < 0 {
		precision = 6
	}
	switch s.verb {
	case 'f', 'F', 'e', 'E':
		return s.number(strconv.FormatFloat(f, s.verb|0x20, precision, 64)), nil
	case 'g', 'G':
		return s.number(general(f, max(precision, 1))), nil
	case '%':
		return s.number(strconv.FormatFloat(f*100, 'f', precision, 64) + "%"), nil
	}
	return "", fmt.Errorf("unsupported format character %q", s.verb)
}

// general formats like %g: with precision digits, and with an exponent if there would be more digits before the point.
func general(f float64, precision int) string {
	exponent := 0
	if f != 0 {
		exponent = int(math.Floor(math.Log10(math.Abs(f))))
	}
	if exponent < -4 || exponent >= precision {
		return strconv.FormatFloat(f, 'e', -1, 64)
	}
	text := strconv.FormatFloat(f, 'f', max(precision-1-exponent, 0), 64)
	if strings.Contains(text, ".") {
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	return text
}

// number adds sign and commas to digits and pads them to the width.
func (s spec) number(digits string) string {
	sign := ""
	if strings.HasPrefix(digits, "-") {
		sign, digits = "-", digits[1:]
	} else if s.sign != 0 {
		sign = string(s.sign)
	}
	if s.comma {
		whole, fraction, found := strings.Cut(digits, ".")
		for i := len(whole) - 3; i > 0; i -= 3 {
			whole = whole[:i] + "," + whole[i:]
		}
		if digits = whole; found {
			digits += "." + fraction
		}
	}
	if s.zero && s.align != '<' {
		digits = strings.Repeat("0", max(s.width-len(sign)-len(digits), 0)) + digits
	}
	return s.padded(sign + digits)
}

func (s spec) padded(text string) string {
	missing := s.width - utf8.RuneCountInString(text)
	if missing <= 0 {
		return text
	}
	left := 0
	switch s.align {
	case '>':
		left = missing
	case '^':
		left = missing / 2
	}
	return strings.Repeat(s.fill, left) + text + strings.Repeat(s.fill, missing-left)
}

// format is str.format.
func (r *renderer) format(format string, args arguments) (value, error) {
	var out strings.Builder
	next := 0
	for format != "" {
		i := strings.IndexAny(format, "{}")
		if i < 0 {
			out.WriteString(format)
			break
		}
		out.WriteString(format[:i])
		brace := format[i]
		format = format[i+1:]
		if format != "" && format[0] == brace {
			out.WriteByte(brace)
			format = format[1:]
			continue
		}
		field, rest, found := strings.Cut(format, "}")
		if brace == '}' || !found {
			return nil, errors.New("single '{' or '}' encountered in format string")
		}
		text, err := r.field(field, args, &next)
		if err != nil {
			return nil, err
		}
		if err := r.spend(out.Len() + len(text)); err != nil {
			return nil, err
		}
		out.WriteString(text)
		format = rest
	}
	return out.String(), r.spend(out.Len())
}

// field formats one {…} of a format string: the argument that it names, in the format that it asks for.
func (r *renderer) field(field string, args arguments, next *int) (string, error) {
	name, form, _ := strings.Cut(field, ":")
	name, conversion, _ := strings.Cut(name, "!")
	end := strings.IndexAny(name, ".[")
	path := ""
	if end >= 0 {
		name, path = name[:end], name[end:]
	}
	numbered := name != "" && strings.Trim(name, "0123456789") == ""
	if name == "" && *next < 0 || numbered && *next > 0 {
		return "", errors.New("cannot mix numbered and unnumbered fields")
	}
	if numbered {
		*next = -1
	}
	v, err := args.field(name, next)
	if err != nil {
		return "", err
	}
	if v, err = r.follow(v, path); err != nil {
		return "", err
	}
	switch conversion {
	case "r":
		v, err = reprOf(v)
	case "s":
		v, err = strOf(v)
	}
	if err != nil {
		return "", err
	}
	return formatted(v, form)
}

// field returns the argument that a field of a format string names. The empty name means the next argument.
func (a arguments) field(name string, next *int) (value, error) {
	index, err := strconv.Atoi(name)
	if name == "" {
		index, err = *next, nil
		*next++
	}
	if err == nil {
		if index < 0 || index >= len(a.positional) {
			return nil, fmt.Errorf("replacement index %d out of range for positional args tuple", index)
		}
		return a.positional[index], nil
	}
	v, ok := a.named[name]
	if !ok {
		return nil, fmt.Errorf("KeyError: %s", reprString(name))
	}
	return v, nil
}

// follow evaluates a path of attributes (.name) and items ([key]) of a value.
func (r *renderer) follow(v value, path string) (value, error) {
	for path != "" {
		var err error
		if inner, ok := strings.CutPrefix(path, "["); ok {
			key, rest, found := strings.Cut(inner, "]")
			if !found {
				return nil, errors.New("expected ']' before end of string")
			}
			var k value = key
			if n, err := strconv.ParseInt(key, 10, 64); err == nil {
				k = n
			}
			v, err = r.item(v, k)
			path = rest
		} else {
			name := path[1:]
			end := strings.IndexAny(name, ".[")
			if end < 0 {
				end = len(name)
			}
			v, err = r.attribute(v, name[:end])
			path = name[end:]
		}
		if err != nil {
			return nil, err
		}
	}
	return v, nil
}

// formatted is Python's format(v, form).
func formatted(v value, form string) (string, error) {
	if form == "" {
		return strOf(v)
	}
	s := spec{fill: " ", precision: -1}
	first, size := utf8.DecodeRuneInString(form)
	if rest := form[size:]; rest != "" && strings.IndexByte("<>^", rest[0]) >= 0 {
		s.fill, s.align, form = string(first), rest[0], rest[1:]
	} else if strings.IndexByte("<>^", form[0]) >= 0 {
		s.align, form = form[0], form[1:]
	}
	for form != "" && strings.IndexByte("+- #0", form[0]) >= 0 {
		switch form[0] {
		case '0':
			s.zero = true
		case '#':
			s.alternate = true
		case '+', ' ':
			s.sign = form[0]
		}
		form = form[1:]
	}
	i, err := s.size(form, 0)
	if err != nil {
		return "", err
	}
	switch rest := form[i:]; len(rest) {
	case 0:
	case 1:
		s.verb = rest[0]
	default:
		return "", fmt.Errorf("invalid format specifier %q", rest)
	}
	return s.format(v)
}

// format formats a value with a format code of str.format.
func (s spec) format(v value) (string, error) {
	plain, isText := text(v)
	if isText {
		if s.verb != 0 && s.verb != 's' {
			return "", fmt.Errorf("unknown format code '%c' for object of type 'str'", s.verb)
		}
		return s.padded(s.cut(plain)), nil
	}
	if s.align == 0 {
		s.align = '>'
	}
	n, isInteger := asInteger(v)
	switch {
	case isInteger && (s.verb == 0 || s.verb == 'd'):
		return s.number(strconv.FormatInt(n, 10)), nil
	case s.verb == 0 && s.precision >= 0:
		s.verb = 'g'
	case s.verb == 0:
		text, err := strOf(v)
		return s.number(text), err
	}
	return s.numeric(v)
}
