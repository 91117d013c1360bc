package gbnf

import (
	"slices"
	"strings"
)

// FromSchemaRelaxed converts a JSON schema to a grammar like FromSchema, but ignores keywords that it cannot express. The grammar
// then allows more than the schema, never less. If it can express nothing, the grammar allows any value. It returns an *Error
// if the schema is not JSON, too long or nested too deep.
func FromSchemaRelaxed(schema []byte) (string, error) {
	if _, err := parseJSON(schema); err != nil || len(schema) > MaxSchemaBytes {
		return fromSchema(schema, &converter{}) // returns the reason
	}
	for _, most := range []int{maxRepetitions, fewRepetitions} {
		if text, err := fromSchema(schema, &converter{relaxed: true, most: most}); err == nil {
			return text, nil
		}
	}
	return FromSchema([]byte(`{}`)) // the schema needs too large a grammar, or allows only values without an end
}

// fewRepetitions is the largest bound that the grammar keeps if larger ones make it too large.
const fewRepetitions = 64

// combining lists the keywords that refer to other schemas.
var combining = []string{"$ref", "anyOf", "oneOf", "allOf"}

// adding lists the keywords that may allow members other than those in properties.
var adding = append([]string{"patternProperties", "if", "then", "else", "dependentSchemas", "dependencies"}, combining...)

// relax is like exact, but ignores keywords that a grammar cannot express. It never fails, so that each inner schema is
// converted only once.
func (c *converter) relax(where string, s *value) string {
	held := c.expressible(s)
	rule, err := c.exact(where, held)
	if err != nil {
		return c.use("anyvalue")
	}
	if n := s.get("nullable"); n != nil && n.truth && slices.ContainsFunc(combining, func(k string) bool { return held.get(k) != nil }) {
		return c.rule(rule + " | " + c.use("null"))
	}
	return rule
}

// expressible returns a schema without the keywords that are known to be inexpressible.
func (c *converter) expressible(s *value) *value {
	if s.kind != '{' {
		return &value{kind: '{'}
	}
	out := s.without(func(m member) bool {
		switch m.name {
		case "const":
			return false
		case "exclusiveMinimum", "exclusiveMaximum", "nullable": // booleans in draft 4, numbers since
			return (m.kind == 't') != (m.name == "nullable")
		case "properties":
			return m.kind != '{'
		case "propertyNames":
			return true
		case "required":
			return m.kind != '['
		case "minLength", "maxLength", "minItems", "maxItems":
			n, err := bound("", s, m.name)
			return err != nil || n > c.most
		}
		return m.kind == 'n'
	})
	out = c.combinable(out)
	out = enumerable(out.with("type", knownTypes(out.get("type"))))
	return closable(out)
}

// combinable returns a schema with only one reference or combination, or else with only the other keywords.
func (c *converter) combinable(s *value) *value {
	var found []string
	for _, keyword := range combining {
		if v := s.get(keyword); v != nil {
			found = append(found, keyword)
		}
	}
	alone := len(found) == 1 && s.get("const") == nil && s.get("enum") == nil && !slices.ContainsFunc(s.members, func(m member) bool {
		return slices.ContainsFunc([]string{"object", "array", "string", "number"}, func(t string) bool { return slices.Contains(keywords[t], m.name) })
	})
	if alone && c.follows(found[0], s.get(found[0])) {
		return &value{kind: '{', members: []member{{found[0], s.get(found[0])}}}
	}
	if len(found) == 0 {
		return s
	}
	open := s.without(func(m member) bool { return slices.Contains(combining, m.name) })
	if s.get("properties") != nil && s.get("additionalProperties") == nil {
		return open.with("additionalProperties", anything)
	}
	return open
}

// follows reports whether a grammar can express a reference or a combination.
func (c *converter) follows(keyword string, v *value) bool {
	if keyword == "$ref" {
		return v.kind == '"' && (v.text == "#" || strings.HasPrefix(v.text, "#/")) && c.target(v.text) != nil
	}
	return v.kind == '[' && len(v.items) > 0 && (keyword != "allOf" || len(v.items) == 1)
}

// anything is a schema that allows any value.
var anything = &value{kind: 't', truth: true}

// knownTypes returns the valid types of a type keyword, or nil if there are none.
func knownTypes(t *value) *value {
	if t == nil {
		return nil
	}
	list := []*value{t}
	if t.kind == '[' {
		list = t.items
	}
	known := &value{kind: '['}
	for _, item := range list {
		if _, ok := keywords[item.text]; ok && item.kind == '"' {
			known.items = append(known.items, item)
		}
	}
	if len(known.items) == 0 {
		return nil
	}
	return known
}

// enumerable removes the type from an enumeration whose values do not have it, and removes an empty enumeration.
func enumerable(s *value) *value {
	if s.get("const") != nil {
		return s.with("enum", nil).with("type", nil)
	}
	list := s.get("enum")
	if list == nil {
		return s
	}
	if list.kind != '[' || len(list.items) == 0 {
		return s.with("enum", nil)
	}
	types, err := typesOf("", s)
	if err != nil || !slices.ContainsFunc(list.items, func(v *value) bool { return v.isOne(types) }) {
		return s.with("type", nil)
	}
	return s
}

// closable makes properties, required and additionalProperties consistent. It allows additional members if other
// keywords may add some.
func closable(s *value) *value {
	listed, additional := s.get("properties"), s.get("additionalProperties")
	if listed != nil && listed.get("") != nil {
		listed = listed.without(func(m member) bool { return m.name == "" })
		s, additional = s.with("properties", listed), anything
	}
	if s.get("patternProperties") != nil {
		additional = anything
	}
	if additional == nil && listed != nil && slices.ContainsFunc(adding, func(k string) bool { return s.get(k) != nil }) {
		additional = anything
	}
	if required := s.get("required"); required != nil {
		names := &value{kind: '['}
		closed := additional != nil && additional.kind == 't' && !additional.truth
		for _, item := range required.items {
			missing := listed == nil || listed.get(item.text) == nil
			if item.kind != '"' || missing && closed {
				continue
			}
			names.items = append(names.items, item)
			if missing && listed != nil && additional == nil {
				additional = anything
			}
		}
		s = s.with("required", names)
	}
	return s.with("additionalProperties", additional)
}

// relaxedType returns the rule of a type whose keywords no grammar can express together. It drops one of them, or all.
func (c *converter) relaxedType(where string, s *value, t string) string {
	if t == "object" || t == "array" {
		return c.use(t)
	}
	for _, keyword := range keywords[t] {
		if s.get(keyword) == nil {
			continue
		}
		if rule, err := c.typed(where, s.with(keyword, nil), t); err == nil {
			return rule
		}
	}
	return c.use(t)
}

// without returns a copy of an object without some members.
func (v *value) without(drop func(member) bool) *value {
	return &value{kind: v.kind, members: slices.DeleteFunc(slices.Clone(v.members), drop)}
}

// with returns a copy of an object with a new value for a member. nil removes the member.
func (v *value) with(name string, replacement *value) *value {
	out := v.without(func(m member) bool { return m.name == name })
	if replacement != nil {
		out.members = append(out.members, member{name, replacement})
	}
	return out
}
