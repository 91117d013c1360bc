package jinja

import (
	"encoding/json"
	"fmt"
)

// Object is a mapping whose members keep their order.
type Object []Member

// Member is a member of an Object.
type Member struct {
	Name  string
	Value any
}

// valueOf turns what Render takes into a template's value.
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
	}
	return nil, fmt.Errorf("a %T cannot be used in a template", v)
}
