package jinja

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// filterFunction implements a filter: value | name(arguments).
type filterFunction = func(r *renderer, v value, args arguments) (value, error)

// newFilters returns the filters of Jinja2, with transformers' tojson.
func newFilters() map[string]filterFunction {
	out := map[string]filterFunction{
		"abs": absolute, "float": toFloat, "int": toInteger, "round": round,
		"capitalize": onText("capitalize", capitalize), "lower": onText("lower", strings.ToLower), "upper": onText("upper", upper),
		"title": onText("title", titleWords), "string": toString, "trim": trim, "replace": replaceText, "center": center,
		"escape": escaped, "forceescape": escaped, "safe": safe, "format": formatText, "indent": indent, "truncate": truncate,
		"wordcount": wordCount, "striptags": onText("striptags", stripTags),
		"default": fallback, "tojson": toJSON, "attr": attributeOf,
	}
	for name, filter := range newSequenceFilters() {
		out[name] = filter
	}
	for alias, name := range map[string]string{"d": "default", "e": "escape", "count": "length"} {
		out[alias] = out[name]
	}
	return out
}

// onText returns a filter that converts a value to text and applies f.
func onText(name string, f func(string) string) filterFunction {
	return func(r *renderer, v value, args arguments) (value, error) {
		s, err := strOf(v)
		if err != nil {
			return nil, err
		}
		if _, err := args.bind(name, 0); err != nil {
			return nil, err
		}
		return f(s), r.spend(len(s))
	}
}

// wordBeginning matches the characters after which the filter title begins a word.
var wordBeginning = regexp.MustCompile(`[-\s({\[<]+`)

// titleWords is the filter title, which differs from the method title.
func titleWords(s string) string {
	var out strings.Builder
	for s != "" {
		word := s
		if at := wordBeginning.FindStringIndex(s); at != nil {
			word = s[:at[0]]
			if at[0] == 0 {
				word = s[:at[1]]
			}
		}
		_, size := utf8.DecodeRuneInString(word)
		out.WriteString(upper(word[:size]) + strings.ToLower(word[size:]))
		s = s[len(word):]
	}
	return out.String()
}

var (
	comments = regexp.MustCompile(`(?s)<!--.*?-->`)
	tags     = regexp.MustCompile(`(?s)<.*?>`)
)

func stripTags(s string) string {
	return strings.Join(strings.FieldsFunc(tags.ReplaceAllString(comments.ReplaceAllString(s, ""), ""), isSpace), " ")
}

func toString(r *renderer, v value, args arguments) (value, error) {
	if _, err := args.bind("string", 0); err != nil {
		return nil, err
	}
	if m, ok := v.(markup); ok {
		return m, nil
	}
	s, err := strOf(v)
	if err != nil {
		return nil, err
	}
	return s, r.spend(len(s))
}

func trim(r *renderer, v value, args arguments) (value, error) {
	bound, err := args.bind("trim", 0, "chars")
	if err != nil {
		return nil, err
	}
	s, err := strOf(v)
	if err != nil {
		return nil, err
	}
	if err := r.spend(len(s)); err != nil {
		return nil, err
	}
	return stripped(s, valueOr(bound[0], nil), true, true)
}

func replaceText(r *renderer, v value, args arguments) (value, error) {
	bound, err := args.bind("replace", 2, "old", "new", "count")
	if err != nil {
		return nil, err
	}
	s, err := strOf(v)
	if err != nil {
		return nil, err
	}
	for i := range 2 {
		if bound[i], err = strOf(bound[i]); err != nil {
			return nil, err
		}
	}
	return r.replace(s, bound)
}

func center(r *renderer, v value, args arguments) (value, error) {
	bound, err := args.bind("center", 0, "width")
	if err != nil {
		return nil, err
	}
	s, err := strOf(v)
	if err != nil {
		return nil, err
	}
	return r.pad("center", s, integer(valueOr(bound[0], int64(80))), " ")
}

func escaped(r *renderer, v value, args arguments) (value, error) {
	if m, ok := v.(markup); ok {
		return m, nil
	}
	s, err := strOf(v)
	if err != nil {
		return nil, err
	}
	s = escape(s)
	return markup(s), r.spend(len(s))
}

func safe(_ *renderer, v value, _ arguments) (value, error) {
	s, err := strOf(v)
	return markup(s), err
}

func formatText(r *renderer, v value, args arguments) (value, error) {
	s, err := strOf(v)
	if err != nil {
		return nil, err
	}
	if len(args.names) == 0 {
		return r.percent(s, &list{items: args.positional, kind: isTuple})
	}
	named := newDict()
	for _, name := range args.names {
		if err := named.set(name, args.named[name]); err != nil {
			return nil, err
		}
	}
	return r.percent(s, named)
}

func indent(r *renderer, v value, args arguments) (value, error) {
	bound, err := args.bind("indent", 0, "width", "first", "blank")
	if err != nil {
		return nil, err
	}
	s, err := strOf(v)
	if err != nil {
		return nil, err
	}
	by, ok := text(bound[0])
	if !ok {
		if by, err = r.pad("rjust", "", integer(valueOr(bound[0], int64(4))), " "); err != nil {
			return nil, err
		}
	}
	lines := strings.Split(s, "\n")
	if err := r.spend(len(s) + len(lines)*len(by)); err != nil {
		return nil, err
	}
	for i, line := range lines {
		if i > 0 && (line != "" || truth(valueOr(bound[2], false))) || i == 0 && truth(valueOr(bound[1], false)) {
			lines[i] = by + line
		}
	}
	return strings.Join(lines, "\n"), nil
}

func truncate(r *renderer, v value, args arguments) (value, error) {
	bound, err := args.bind("truncate", 0, "length", "killwords", "end", "leeway")
	if err != nil {
		return nil, err
	}
	s, err := strOf(v)
	if err != nil {
		return nil, err
	}
	end, err := strOf(valueOr(bound[2], "..."))
	if err != nil {
		return nil, err
	}
	if err := r.spend(len(s)); err != nil {
		return nil, err
	}
	runes := []rune(s)
	length, leeway := integer(valueOr(bound[0], int64(255))), integer(valueOr(valueOr(bound[3], nil), int64(5)))
	if bound[3] == nil || !given(bound[3]) {
		leeway = 5
	}
	if int64(len(runes)) <= length+leeway {
		return s, nil
	}
	cut := string(runes[:max(length-int64(utf8.RuneCountInString(end)), 0)])
	if at := strings.LastIndexByte(cut, ' '); at >= 0 && !truth(valueOr(bound[1], false)) {
		cut = cut[:at]
	}
	return cut + end, nil
}

var word = regexp.MustCompile(`[\pL\pN_]+`)

func wordCount(r *renderer, v value, _ arguments) (value, error) {
	s, err := strOf(v)
	if err != nil {
		return nil, err
	}
	return int64(len(word.FindAllStringIndex(s, -1))), r.spend(len(s))
}

func fallback(_ *renderer, v value, args arguments) (value, error) {
	bound, err := args.bind("default", 0, "default_value", "boolean")
	if err != nil {
		return nil, err
	}
	if isUndefined(v) || truth(valueOr(bound[1], false)) && !truth(v) {
		return valueOr(bound[0], ""), nil
	}
	return v, nil
}

func attributeOf(r *renderer, v value, args arguments) (value, error) {
	name, _, err := textArguments(args, "attr", 1, "name")
	if err != nil {
		return nil, err
	}
	if found, ok, err := r.pythonAttribute(v, name); ok || err != nil {
		return found, err
	}
	return missingAttribute(v, name), nil
}

func absolute(_ *renderer, v value, _ arguments) (value, error) {
	if u, ok := v.(*undefined); ok {
		return nil, u.fail()
	}
	if n, ok := asInteger(v); ok {
		return max(n, -n), nil
	}
	if f, ok := v.(float64); ok {
		return math.Abs(f), nil
	}
	return nil, fmt.Errorf("bad operand type for abs(): '%s'", typeName(v))
}

func toFloat(_ *renderer, v value, args arguments) (value, error) {
	bound, err := args.bind("float", 0, "default")
	if err != nil {
		return nil, err
	}
	if u, ok := v.(*undefined); ok {
		return nil, u.fail()
	}
	if f, ok := asFloat(v); ok {
		return f, nil
	}
	if s, ok := text(v); ok {
		if f, err := strconv.ParseFloat(strings.TrimFunc(s, isSpace), 64); err == nil {
			return f, nil
		}
	}
	return valueOr(bound[0], 0.0), nil
}

func toInteger(_ *renderer, v value, args arguments) (value, error) {
	bound, err := args.bind("int", 0, "default", "base")
	if err != nil {
		return nil, err
	}
	base := int(integer(valueOr(bound[1], int64(10))))
	switch x := v.(type) {
	case *undefined:
		return nil, x.fail()
	case int64, bool:
		return integer(x), nil
	case *big.Int:
		return x, nil
	case float64:
		if math.Abs(x) < 1<<63 {
			return int64(x), nil
		}
	}
	if s, ok := text(v); ok && base >= 0 && base <= 36 && base != 1 {
		s = strings.ToLower(strings.ReplaceAll(strings.TrimFunc(s, isSpace), "_", ""))
		s = strings.TrimPrefix(s, map[int]string{2: "0b", 8: "0o", 16: "0x"}[base])
		if n, err := strconv.ParseInt(s, base, 64); err == nil {
			return n, nil
		}
		if f, err := strconv.ParseFloat(s, 64); err == nil && math.Abs(f) < 1<<63 {
			return int64(f), nil
		}
	}
	return valueOr(bound[0], int64(0)), nil
}

func round(_ *renderer, v value, args arguments) (value, error) {
	bound, err := args.bind("round", 0, "precision", "method")
	if err != nil {
		return nil, err
	}
	if u, ok := v.(*undefined); ok {
		return nil, u.fail()
	}
	f, ok := asFloat(v)
	if !ok {
		return nil, fmt.Errorf("type %s doesn't define __round__ method", typeName(v))
	}
	precision := integer(valueOr(bound[0], int64(0)))
	scale := math.Pow(10, float64(precision))
	switch method := valueOr(bound[1], "common"); method {
	case "common":
		if n, ok := asInteger(v); ok && precision >= 0 {
			return n, nil
		}
		if precision >= 0 && precision < 300 { // like Python: to the nearest decimal, ties to even
			return strconv.ParseFloat(strconv.FormatFloat(f, 'f', int(precision), 64), 64)
		}
		return math.RoundToEven(f*scale) / scale, nil
	case "ceil":
		return math.Ceil(f*scale) / scale, nil
	case "floor":
		return math.Floor(f*scale) / scale, nil
	}
	return nil, errors.New("method must be common, ceil or floor")
}
