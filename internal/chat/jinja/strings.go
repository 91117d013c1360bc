package jinja

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// newStringMethods returns Python's str methods. The caller has counted the text in the budget. Each method counts only
// what it adds.
func newStringMethods() map[string]stringFunction {
	return map[string]stringFunction{
		"capitalize": plainText("capitalize", capitalize),
		"casefold":   plainText("casefold", strings.ToLower),
		"lower":      plainText("lower", strings.ToLower),
		"swapcase":   plainText("swapcase", swapCase),
		"title":      plainText("title", titleCase),
		"upper":      plainText("upper", upper),

		"isalnum":   everyRune("isalnum", func(c rune) bool { return unicode.IsLetter(c) || unicode.IsNumber(c) }),
		"isalpha":   everyRune("isalpha", unicode.IsLetter),
		"isdecimal": everyRune("isdecimal", unicode.IsDigit),
		"isdigit":   everyRune("isdigit", unicode.IsDigit),
		"isnumeric": everyRune("isnumeric", unicode.IsNumber),
		"isspace":   everyRune("isspace", isSpace),
		"isascii":   asciiOnly,
		"islower":   cased("islower", unicode.IsLower, unicode.IsUpper),
		"isupper":   cased("isupper", unicode.IsUpper, unicode.IsLower),

		"strip":  strip("strip", true, true),
		"lstrip": strip("lstrip", true, false),
		"rstrip": strip("rstrip", false, true),

		"startswith":   affix("startswith", strings.HasPrefix),
		"endswith":     affix("endswith", strings.HasSuffix),
		"removeprefix": cutAffix("removeprefix", strings.TrimPrefix),
		"removesuffix": cutAffix("removesuffix", strings.TrimSuffix),

		"find":   finder("find", strings.Index, false),
		"rfind":  finder("rfind", strings.LastIndex, false),
		"index":  finder("index", strings.Index, true),
		"rindex": finder("rindex", strings.LastIndex, true),
		"count":  countText,

		"split":      split("split", false),
		"rsplit":     split("rsplit", true),
		"splitlines": splitLines,
		"partition":  partition("partition", strings.Index, false),
		"rpartition": partition("rpartition", strings.LastIndex, true),

		"replace": func(r *renderer, s string, args arguments) (value, error) {
			bound, err := args.bind("replace", 2, "old", "new", "count")
			if err != nil {
				return nil, err
			}
			return r.replace(s, bound)
		},
		"join": func(r *renderer, s string, args arguments) (value, error) {
			bound, err := args.bind("join", 1, "iterable")
			if err != nil {
				return nil, err
			}
			items, err := r.elements(bound[0])
			if err != nil {
				return nil, err
			}
			for i, item := range items {
				if _, ok := text(item); !ok {
					return nil, fmt.Errorf("sequence item %d: expected str instance, %s found", i, typeName(item))
				}
			}
			return r.joinTexts(s, items)
		},
		"format": func(r *renderer, s string, args arguments) (value, error) { return r.format(s, args) },
		"center": pad("center"),
		"ljust":  pad("ljust"),
		"rjust":  pad("rjust"),
		"zfill": func(r *renderer, s string, args arguments) (value, error) {
			bound, err := args.bind("zfill", 1, "width")
			if err != nil {
				return nil, err
			}
			sign := signOf(s)
			padded, err := r.pad("rjust", s[len(sign):], integer(bound[0])-int64(len(sign)), "0")
			return sign + padded, err
		},
	}
}

type stringFunction = func(r *renderer, s string, args arguments) (value, error)

// plainText returns a method without arguments.
func plainText(name string, f func(string) string) stringFunction {
	return func(_ *renderer, s string, args arguments) (value, error) {
		_, err := args.bind(name, 0)
		return f(s), err
	}
}

func everyRune(name string, is func(rune) bool) stringFunction {
	return func(_ *renderer, s string, args arguments) (value, error) {
		_, err := args.bind(name, 0)
		return s != "" && strings.IndexFunc(s, func(c rune) bool { return !is(c) }) < 0, err
	}
}

func asciiOnly(_ *renderer, s string, args arguments) (value, error) {
	_, err := args.bind("isascii", 0)
	return strings.IndexFunc(s, func(c rune) bool { return c > unicode.MaxASCII }) < 0, err
}

// cased returns a method that reports whether a text has at least one letter of one case and none of the other.
func cased(name string, is, other func(rune) bool) stringFunction {
	return func(_ *renderer, s string, args arguments) (value, error) {
		_, err := args.bind(name, 0)
		return strings.IndexFunc(s, is) >= 0 && strings.IndexFunc(s, other) < 0, err
	}
}

func capitalize(s string) string {
	_, size := utf8.DecodeRuneInString(s)
	return upper(s[:size]) + strings.ToLower(s[size:])
}

// upper is Python's upper, which turns ß into two letters.
func upper(s string) string { return strings.ReplaceAll(strings.ToUpper(s), "ß", "SS") }

func swapCase(s string) string {
	return strings.Map(func(c rune) rune {
		if unicode.IsUpper(c) {
			return unicode.ToLower(c)
		}
		return unicode.ToUpper(c)
	}, s)
}

func titleCase(s string) string {
	inWord := false
	return strings.Map(func(c rune) rune {
		begins := !inWord
		if inWord = unicode.IsLetter(c); begins {
			return unicode.ToTitle(c)
		}
		return unicode.ToLower(c)
	}, s)
}

// stripped removes white space, or the given characters, from the ends of a text.
func stripped(s string, characters value, left, right bool) (string, error) {
	cut := isSpace
	if characters != nil && given(characters) {
		set, ok := text(characters)
		if !ok {
			return "", errors.New("strip arg must be None or str")
		}
		cut = func(c rune) bool { return strings.ContainsRune(set, c) }
	}
	if left {
		s = strings.TrimLeftFunc(s, cut)
	}
	if right {
		s = strings.TrimRightFunc(s, cut)
	}
	return s, nil
}

func strip(name string, left, right bool) stringFunction {
	return func(_ *renderer, s string, args arguments) (value, error) {
		bound, err := args.bind(name, 0, "chars")
		if err != nil {
			return nil, err
		}
		return stripped(s, bound[0], left, right)
	}
}

// affix returns a method that reports whether a text has a prefix or suffix, or any of a tuple of them.
func affix(name string, has func(s, affix string) bool) stringFunction {
	return func(_ *renderer, s string, args arguments) (value, error) {
		bound, err := args.bind(name, 1, "affix")
		if err != nil {
			return nil, err
		}
		one, ok := text(bound[0])
		if ok {
			return has(s, one), nil
		}
		several, ok := bound[0].(*list)
		if !ok || several.kind != isTuple {
			return nil, fmt.Errorf("%s first arg must be str or a tuple of str, not %s", name, typeName(bound[0]))
		}
		for _, item := range several.items {
			if one, ok := text(item); ok && has(s, one) {
				return true, nil
			}
		}
		return false, nil
	}
}

// textArguments binds arguments. The first must be a text.
func textArguments(args arguments, name string, required int, parameters ...string) (string, []value, error) {
	bound, err := args.bind(name, required, parameters...)
	if err != nil {
		return "", nil, err
	}
	s, ok := text(bound[0])
	if !ok {
		return "", nil, fmt.Errorf("%s() argument must be str, not %s", name, typeName(bound[0]))
	}
	return s, bound, nil
}

func cutAffix(name string, cut func(s, affix string) string) stringFunction {
	return func(_ *renderer, s string, args arguments) (value, error) {
		affix, _, err := textArguments(args, name, 1, "affix")
		return cut(s, affix), err
	}
}

// finder returns a method that returns the index of one text within another, in characters. If there is none, the
// method returns -1, or an error if must is true.
func finder(name string, index func(s, part string) int, must bool) stringFunction {
	return func(_ *renderer, s string, args arguments) (value, error) {
		part, bound, err := textArguments(args, name, 1, "sub", "start", "end")
		if err != nil {
			return nil, err
		}
		runes := []rune(s)
		start, stop := textRange(bound[1:], len(runes))
		within := string(runes[start:stop])
		i := index(within, part)
		switch {
		case i >= 0:
			return int64(start + utf8.RuneCountInString(within[:i])), nil
		case must:
			return nil, errors.New("substring not found")
		}
		return int64(-1), nil
	}
}

// textRange returns the part of a text that the arguments start and end select.
func textRange(bound []value, length int) (start, stop int) {
	var bounds [3]*int64
	for i, v := range bound {
		if n, ok := asInteger(v); ok {
			bounds[i] = &n
		}
	}
	start, stop = sliceBounds(bounds, length, 1)
	return start, max(start, stop)
}

func countText(_ *renderer, s string, args arguments) (value, error) {
	part, bound, err := textArguments(args, "count", 1, "sub", "start", "end")
	if err != nil {
		return nil, err
	}
	runes := []rune(s)
	start, stop := textRange(bound[1:], len(runes))
	return int64(strings.Count(string(runes[start:stop]), part)), nil
}

// replace is Python's str.replace with bound arguments.
func (r *renderer) replace(s string, bound []value) (value, error) {
	old, okOld := text(bound[0])
	replacement, okNew := text(bound[1])
	if !okOld || !okNew {
		return nil, errors.New("replace() arguments must be str")
	}
	most := -1
	if v := valueOr(bound[2], nil); v != nil {
		n, ok := asInteger(v)
		if !ok {
			return nil, fmt.Errorf("'%s' object cannot be interpreted as an integer", typeName(v))
		}
		most = int(min(max(n, -1), maxOutput))
	}
	found := strings.Count(s, old)
	if most >= 0 {
		found = min(found, most)
	}
	if grown := len(s) + found*max(len(replacement)-len(old), 0); grown > maxOutput {
		return nil, &LimitError{What: "size of a value", Limit: maxOutput}
	} else if err := r.spend(grown); err != nil {
		return nil, err
	}
	return strings.Replace(s, old, replacement, most), nil
}

// joinTexts converts values to text and joins them.
func (r *renderer) joinTexts(by string, items []value) (value, error) {
	var out strings.Builder
	for i, item := range items {
		if i > 0 {
			out.WriteString(by)
		}
		s, err := strOf(item)
		if err != nil {
			return nil, err
		}
		if out.WriteString(s); out.Len() > maxOutput {
			return nil, &LimitError{What: "size of a value", Limit: maxOutput}
		}
		if err := r.spend(len(s) + len(by)); err != nil {
			return nil, err
		}
	}
	return out.String(), nil
}

func pad(name string) stringFunction {
	return func(r *renderer, s string, args arguments) (value, error) {
		bound, err := args.bind(name, 1, "width", "fillchar")
		if err != nil {
			return nil, err
		}
		fill, _ := text(valueOr(bound[1], " "))
		if utf8.RuneCountInString(fill) != 1 {
			return nil, errors.New("the fill character must be exactly one character long")
		}
		return r.pad(name, s, integer(bound[0]), fill)
	}
}

// pad pads a text to a width.
func (r *renderer) pad(where, s string, width int64, fill string) (string, error) {
	missing := width - int64(utf8.RuneCountInString(s))
	if missing <= 0 {
		return s, nil
	}
	if missing > maxOutput {
		return "", &LimitError{What: "size of a value", Limit: maxOutput}
	}
	if err := r.spend(int(missing) * len(fill)); err != nil {
		return "", err
	}
	left := int64(0)
	switch where {
	case "rjust":
		left = missing
	case "center":
		left = missing/2 + missing&width&1
	}
	return strings.Repeat(fill, int(left)) + s + strings.Repeat(fill, int(missing-left)), nil
}
