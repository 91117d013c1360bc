package jinja

import (
	"encoding/json"
	"fmt"
)

// Object is a mapping whose members keep their order.
type Object []Member

// Member is one member of an Object.
type Member struct {
	Name  string
	Value any
}

// Mapped is a value whose texts are replaced by the results of Text, including the names of members.
type Mapped struct {
	Value any
	Text  func(string) string
}

// valueOf converts an argument of Render to a template's value.
func valueOf(v any) (value, error) {
	switch v := v.(type) {
	case nil, bool, float64, string:
		return v, nil
	case int:
		return int64(v), nil
	case []any:
		out := &list{items: make([]value, len(v))}
		for i, element := range v {
			var err error
			if out.items[i], err = valueOf(element); err != nil {
				return nil, err
			}
		}
		return out, nil
	case Object:
		out := newDict()
		for _, member := range v {
			inner, err := valueOf(member.Value)
			if err != nil {
				return nil, err
			}
			if err := out.set(member.Name, inner); err != nil {
				return nil, err
			}
		}
		return out, nil
	case json.RawMessage:
		return decode(v)
	case Mapped:
		inner, err := valueOf(v.Value)
		if err != nil {
			return nil, err
		}
		return withTexts(inner, v.Text)
	}
	return nil, fmt.Errorf("a %T cannot be used in a template", v)
}

// withTexts returns a value of valueOf with its texts replaced.
func withTexts(v value, text func(string) string) (value, error) {
	switch v := v.(type) {
	case string:
		return text(v), nil
	case *list:
		out := &list{items: make([]value, len(v.items)), kind: v.kind}
		for i, item := range v.items {
			var err error
			if out.items[i], err = withTexts(item, text); err != nil {
				return nil, err
			}
		}
		return out, nil
	case *dict:
		out := newDict()
		for _, key := range v.keys {
			name, err := withTexts(key, text)
			if err != nil {
				return nil, err
			}
			member, err := withTexts(v.at(key), text)
			if err != nil {
				return nil, err
			}
			if err := out.set(name, member); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	return v, nil
}
