package jinja

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"sort"
	"strconv"
	"strings"

	"github.com/nikolalohinski/gonja/v2/exec"
)

// decodeOrdered reads JSON into values for a template; objects keep the order of their members.
func decodeOrdered(raw json.RawMessage) (any, error) {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	value, err := decodeValue(decoder, 0)
	if err != nil {
		return nil, err
	}
	if decoder.More() {
		return nil, errors.New("bytes after the JSON")
	}
	return value, nil
}

func decodeValue(decoder *json.Decoder, depth int) (any, error) {
	if depth > 2*maxDepth {
		return nil, &LimitError{What: "nesting of JSON", Limit: 2 * maxDepth}
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
		list := []any{}
		for decoder.More() {
			value, err := decodeValue(decoder, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, value)
		}
		_, err := decoder.Token()
		return list, err
	case json.Number:
		if n, err := strconv.Atoi(t.String()); err == nil {
			return n, nil
		}
		return t.Float64()
	}
	return token, nil
}

func decodeObject(decoder *json.Decoder, depth int) (any, error) {
	dict := exec.NewDict()
	for decoder.More() {
		key, err := decoder.Token()
		if err != nil {
			return nil, err
		}
		value, err := decodeValue(decoder, depth+1)
		if err != nil {
			return nil, err
		}
		dict.Pairs = append(dict.Pairs, &exec.Pair{Key: exec.AsValue(key), Value: exec.AsValue(value)})
	}
	_, err := decoder.Token()
	return dict, err
}

// writePython writes a value as Python's json.dumps(ensure_ascii=False) does; indent < 0 means on one line.
func writePython(out *strings.Builder, value *exec.Value, indent, depth int) error {
	if depth > 2*maxDepth || out.Len() > maxOutput {
		return &LimitError{What: "size of JSON", Limit: maxOutput}
	}
	switch {
	case value == nil || value.IsNil():
		out.WriteString("null")
	case value.IsString():
		return writeString(out, value.String())
	case value.IsBool():
		out.WriteString(strconv.FormatBool(value.Bool()))
	case value.IsInteger():
		out.WriteString(strconv.Itoa(value.Integer()))
	case value.IsFloat():
		out.WriteString(pythonFloat(value.Float()))
	case value.IsDict():
		return writeDict(out, value, indent, depth)
	case value.IsList():
		items := listOf(value)
		return writeSequence(out, '[', ']', len(items), indent, depth, func(i int) error {
			return writePython(out, items[i], indent, depth+1)
		})
	default:
		return fmt.Errorf("a value of type %T is not JSON serializable", value.Interface())
	}
	return nil
}

func writeDict(out *strings.Builder, value *exec.Value, indent, depth int) error {
	keys, values := membersOf(value)
	return writeSequence(out, '{', '}', len(keys), indent, depth, func(i int) error {
		if err := writeString(out, keys[i]); err != nil {
			return err
		}
		out.WriteString(": ")
		return writePython(out, values[i], indent, depth+1)
	})
}

func writeSequence(out *strings.Builder, open, closing byte, n, indent, depth int, element func(int) error) error {
	out.WriteByte(open)
	for i := range n {
		if i > 0 {
			out.WriteByte(',')
		}
		if indent >= 0 {
			out.WriteString("\n" + strings.Repeat(" ", indent*(depth+1)))
		} else if i > 0 {
			out.WriteByte(' ')
		}
		if err := element(i); err != nil {
			return err
		}
	}
	if indent >= 0 && n > 0 {
		out.WriteString("\n" + strings.Repeat(" ", indent*depth))
	}
	out.WriteByte(closing)
	return nil
}

func writeString(out *strings.Builder, text string) error {
	var buf bytes.Buffer
	encoder := json.NewEncoder(&buf)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(text); err != nil {
		return err
	}
	// Python leaves these two as they are.
	line := strings.NewReplacer(`\u2028`, "\u2028", `\u2029`, "\u2029").Replace(strings.TrimSuffix(buf.String(), "\n"))
	out.WriteString(line)
	return nil
}

func pythonFloat(f float64) string {
	text := strconv.FormatFloat(f, 'g', -1, 64)
	if !strings.ContainsAny(text, ".eIN") {
		text += ".0"
	}
	return text
}

func listOf(value *exec.Value) []*exec.Value {
	var out []*exec.Value
	value.Iterate(func(_, _ int, item, _ *exec.Value) bool {
		out = append(out, item)
		return true
	}, func() {})
	return out
}

// membersOf gives a dict's members in their order; Go's maps, which have none, by key.
func membersOf(value *exec.Value) (keys []string, values []*exec.Value) {
	if dict, ok := value.Interface().(*exec.Dict); ok {
		for _, pair := range dict.Pairs {
			keys = append(keys, pair.Key.String())
			values = append(values, pair.Value)
		}
		return keys, values
	}
	members := reflect.ValueOf(value.Interface())
	if members.Kind() != reflect.Map {
		return nil, nil
	}
	found := map[string]*exec.Value{}
	for entries := members.MapRange(); entries.Next(); {
		key := fmt.Sprint(entries.Key().Interface())
		keys = append(keys, key)
		found[key] = exec.ToValue(entries.Value().Interface())
	}
	sort.Strings(keys)
	for _, key := range keys {
		values = append(values, found[key])
	}
	return keys, values
}
