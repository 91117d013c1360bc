package gbnf

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// value is a JSON value whose objects keep their order.
type value struct {
	kind    byte // one of { [ " 0 t n: object, array, string, number, boolean, null
	members []member
	items   []*value
	text    string // of a string or a number
	truth   bool
}

type member struct {
	name string
	*value
}

// get returns a member's value, or nil if there is no such member.
func (v *value) get(name string) *value {
	for _, m := range v.members {
		if m.name == name {
			return m.value
		}
	}
	return nil
}

// parseJSON reads one value. It refuses objects with two members of the same name, and deep nesting.
func parseJSON(data []byte) (*value, error) {
	if !utf8.Valid(data) {
		return nil, errors.New("is not valid UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	v, err := readValue(d, 0)
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("has text after its end")
	}
	return v, nil
}

func readValue(d *json.Decoder, depth int) (*value, error) {
	token, err := d.Token()
	if err != nil {
		return nil, fmt.Errorf("is not JSON: %w", err)
	}
	switch t := token.(type) {
	case json.Delim:
		if depth++; depth > maxNesting {
			return nil, fmt.Errorf("is nested more than %d levels deep", maxNesting)
		}
		if t == '[' {
			return readArray(d, depth)
		}
		return readObject(d, depth)
	case string:
		return &value{kind: '"', text: t}, nil
	case json.Number:
		return &value{kind: '0', text: t.String()}, nil
	case bool:
		return &value{kind: 't', truth: t}, nil
	}
	return &value{kind: 'n'}, nil
}

func readArray(d *json.Decoder, depth int) (*value, error) {
	v := &value{kind: '['}
	for d.More() {
		item, err := readValue(d, depth)
		if err != nil {
			return nil, err
		}
		v.items = append(v.items, item)
	}
	if _, err := d.Token(); err != nil {
		return nil, fmt.Errorf("is not JSON: %w", err)
	}
	return v, nil
}

func readObject(d *json.Decoder, depth int) (*value, error) {
	v := &value{kind: '{'}
	seen := map[string]bool{}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return nil, fmt.Errorf("is not JSON: %w", err)
		}
		name, _ := token.(string) // the decoder returns no other token here
		if seen[name] {
			return nil, fmt.Errorf("has %q twice in one object", name)
		}
		seen[name] = true
		item, err := readValue(d, depth)
		if err != nil {
			return nil, err
		}
		v.members = append(v.members, member{name, item})
	}
	if _, err := d.Token(); err != nil {
		return nil, fmt.Errorf("is not JSON: %w", err)
	}
	return v, nil
}

// encode writes a value as the JSON that a grammar for it accepts: without spaces.
func (v *value) encode() string {
	var b bytes.Buffer
	v.write(&b)
	return b.String()
}

func (v *value) write(b *bytes.Buffer) {
	switch v.kind {
	case '{':
		b.WriteByte('{')
		for i, m := range v.members {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(quoteJSON(m.name))
			b.WriteByte(':')
			m.write(b)
		}
		b.WriteByte('}')
	case '[':
		b.WriteByte('[')
		for i, item := range v.items {
			if i > 0 {
				b.WriteByte(',')
			}
			item.write(b)
		}
		b.WriteByte(']')
	case '"':
		b.WriteString(quoteJSON(v.text))
	case '0':
		b.WriteString(v.text)
	case 't':
		fmt.Fprint(b, v.truth)
	default:
		b.WriteString("null")
	}
}

// quoteJSON returns a string as JSON with the fewest escapes.
func quoteJSON(s string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		return `""` // a string always encodes
	}
	return string(bytes.TrimRight(b.Bytes(), "\n"))
}
