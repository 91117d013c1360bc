package jinja

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
)

// decode converts JSON to a template's value. Objects keep the order of their members.
func decode(raw []byte) (value, error) {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	v, err := decodeValue(decoder, 0)
	if err != nil {
		return nil, err
	}
	if decoder.More() {
		return nil, errors.New("bytes after the JSON")
	}
	return v, nil
}

func decodeValue(decoder *json.Decoder, depth int) (value, error) {
	if depth > maxDepth {
		return nil, &LimitError{What: "nesting of JSON", Limit: maxDepth}
	}
	token, err := decoder.Token()
	if err != nil {
		return nil, err
	}
	switch t := token.(type) {
	case json.Delim:
		if t == '{' {
			return decodeObject(decoder, depth)
		}
		out := &list{}
		for decoder.More() {
			v, err := decodeValue(decoder, depth+1)
			if err != nil {
				return nil, err
			}
			out.items = append(out.items, v)
		}
		_, err := decoder.Token()
		return out, err
	case json.Number:
		return decodeNumber(t.String())
	}
	return token, nil
}

// decodeNumber parses a number. Like Python, it returns an integer if there is no point and no exponent.
func decodeNumber(text string) (value, error) {
	if strings.ContainsAny(text, ".eE") {
		f, err := strconv.ParseFloat(text, 64)
		if math.IsInf(f, 0) {
			err = nil
		}
		return f, err
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n, nil
	}
	if len(text) > maxWidth {
		return nil, &LimitError{What: "digits of a number", Limit: maxWidth}
	}
	n, ok := new(big.Int).SetString(text, 10)
	if !ok {
		return nil, fmt.Errorf("%q is not a valid number", text)
	}
	return n, nil
}

func decodeObject(decoder *json.Decoder, depth int) (value, error) {
	out := newDict()
	for decoder.More() {
		key, err := decoder.Token()
		if err != nil {
			return nil, err
		}
		v, err := decodeValue(decoder, depth+1)
		if err != nil {
			return nil, err
		}
		if err := out.set(key, v); err != nil {
			return nil, err
		}
	}
	_, err := decoder.Token()
	return out, err
}

// toJSON is the filter tojson of transformers. It has Python's spacing, keeps the order of members and does not escape
// for HTML.
func toJSON(r *renderer, v value, args arguments) (value, error) {
	bound, err := args.bind("tojson", 0, "ensure_ascii", "indent", "separators", "sort_keys")
	if err != nil {
		return nil, err
	}
	w := &jsonWriter{r: r, comma: ", ", colon: ": ", ascii: truth(valueOr(bound[0], false)), sorted: truth(valueOr(bound[3], false))}
	switch by := valueOr(bound[1], nil).(type) {
	case nil:
	case string:
		w.indent, w.pretty = by, true
	default:
		w.indent, w.pretty = strings.Repeat(" ", int(min(max(integer(by), 0), 16))), true
	}
	if w.pretty {
		w.comma = ","
	}
	if separators, ok := valueOr(bound[2], nil).(*list); ok && len(separators.items) == 2 {
		w.comma, _ = text(separators.items[0])
		w.colon, _ = text(separators.items[1])
	}
	if err := w.write(v, 0); err != nil {
		return nil, err
	}
	return w.out.String(), nil
}

// jsonWriter writes values like Python's json.dumps.
type jsonWriter struct {
	r            *renderer
	out          strings.Builder
	comma, colon string
	indent       string
	pretty       bool // whether each element is on its own line
	ascii        bool
	sorted       bool
}

func (w *jsonWriter) write(v value, depth int) error {
	if depth > maxDepth {
		return &LimitError{What: "nesting of JSON", Limit: maxDepth}
	}
	if err := w.r.step(1); err != nil {
		return err
	}
	if w.out.Len() > maxOutput {
		return &LimitError{What: "size of JSON", Limit: maxOutput}
	}
	switch v := v.(type) {
	case nil:
		w.out.WriteString("null")
	case bool:
		w.out.WriteString(strconv.FormatBool(v))
	case int64, *big.Int:
		fmt.Fprint(&w.out, v)
	case float64:
		w.out.WriteString(jsonFloat(v))
	case string:
		return w.text(v)
	case markup:
		return w.text(string(v))
	case *dict:
		return w.dict(v, depth)
	case *list:
		if v.kind > isTuple {
			return fmt.Errorf("Object of type %s is not JSON serializable", typeName(v))
		}
		return w.sequence('[', ']', len(v.items), depth, func(i int) error { return w.write(v.items[i], depth+1) })
	default:
		return fmt.Errorf("Object of type %s is not JSON serializable", typeName(v))
	}
	return nil
}

func jsonFloat(f float64) string {
	switch {
	case math.IsInf(f, 1):
		return "Infinity"
	case math.IsInf(f, -1):
		return "-Infinity"
	case math.IsNaN(f):
		return "NaN"
	}
	return reprFloat(f)
}

func (w *jsonWriter) dict(d *dict, depth int) error {
	keys := d.keys
	if w.sorted {
		var err error
		if keys, err = w.sortedKeys(d); err != nil {
			return err
		}
	}
	return w.sequence('{', '}', len(keys), depth, func(i int) error {
		if err := w.key(keys[i]); err != nil {
			return err
		}
		w.out.WriteString(w.colon)
		return w.write(d.at(keys[i]), depth+1)
	})
}

func (w *jsonWriter) sortedKeys(d *dict) ([]value, error) {
	keys, err := w.r.keys(d.keys, nil, true)
	if err != nil {
		return nil, err
	}
	err = w.r.sort(keys, false)
	return values(keys), err
}

// key writes a dict's key, which is always a string in JSON.
func (w *jsonWriter) key(key value) error {
	switch k := key.(type) {
	case string:
		return w.text(k)
	case markup:
		return w.text(string(k))
	case nil:
		return w.text("null")
	case bool:
		return w.text(strconv.FormatBool(k))
	case int64:
		return w.text(strconv.FormatInt(k, 10))
	case float64:
		return w.text(jsonFloat(k))
	}
	return fmt.Errorf("keys must be str, int, float, bool or None, not %s", typeName(key))
}

func (w *jsonWriter) sequence(open, closing byte, n, depth int, element func(int) error) error {
	w.out.WriteByte(open)
	newline := "\n" + strings.Repeat(w.indent, depth)
	for i := range n {
		if i > 0 {
			w.out.WriteString(w.comma)
		}
		if w.pretty {
			w.out.WriteString(newline + w.indent)
		}
		if err := element(i); err != nil {
			return err
		}
	}
	if w.pretty && n > 0 {
		w.out.WriteString(newline)
	}
	w.out.WriteByte(closing)
	return nil
}

// text writes a string. It escapes only quotes, backslashes and control characters.
func (w *jsonWriter) text(s string) error {
	if err := w.r.spend(len(s)); err != nil {
		return err
	}
	w.out.WriteByte('"')
	for _, c := range s {
		switch {
		case c == '"' || c == '\\':
			w.out.WriteByte('\\')
			w.out.WriteRune(c)
		case c == '\n':
			w.out.WriteString(`\n`)
		case c == '\r':
			w.out.WriteString(`\r`)
		case c == '\t':
			w.out.WriteString(`\t`)
		case c == '\b':
			w.out.WriteString(`\b`)
		case c == '\f':
			w.out.WriteString(`\f`)
		case c < ' ' || w.ascii && c >= 0x7f && c < 0x10000 && c != 0x7f:
			fmt.Fprintf(&w.out, `\u%04x`, c)
		case w.ascii && c >= 0x10000:
			c -= 0x10000
			fmt.Fprintf(&w.out, `\u%04x\u%04x`, 0xd800+c>>10, 0xdc00+c&0x3ff)
		default:
			w.out.WriteRune(c)
		}
	}
	w.out.WriteByte('"')
	return nil
}
