package gbnf

import (
	"slices"
	"strings"
)

// byType returns a rule for the types that a schema allows. Each keyword must belong to one of them.
func (c *converter) byType(where string, s *value, types []string) (string, error) {
	var known, rules []string
	known = append(known, "type", "nullable")
	for _, t := range types {
		known = append(known, keywords[t]...)
	}
	if err := c.only(where, s, known...); err != nil {
		return "", err
	}
	for _, t := range types {
		rule, err := c.typed(where, s, t)
		if err != nil && c.relaxed {
			rule, err = c.relaxedType(where, s, t), nil
		}
		if err != nil {
			return "", err
		}
		rules = append(rules, rule)
	}
	if len(rules) == 1 {
		return rules[0], nil
	}
	return c.rule(strings.Join(rules, " | ")), nil
}

// typed returns the rule for the values of one type.
func (c *converter) typed(where string, s *value, t string) (string, error) {
	switch t {
	case "object":
		return c.object(where, s)
	case "array":
		return c.array(where, s)
	case "string":
		return c.string(where, s)
	case "integer", "number":
		return c.number(where, s, t == "integer")
	}
	return c.use(t), nil
}

// keywords lists the keywords of each type, except "type" and "nullable". A number's format (int32, double) is only an
// annotation.
var keywords = map[string][]string{
	"object":  {"properties", "required", "additionalProperties", "propertyNames"},
	"array":   {"items", "prefixItems", "minItems", "maxItems"},
	"string":  {"minLength", "maxLength", "pattern", "format"},
	"integer": {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "format"},
	"number":  {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "format"},
	"boolean": {},
	"null":    {},
}

// typesOf reads "type", or infers it from a keyword that belongs to only one type. OpenAPI's "nullable" adds null.
func typesOf(where string, s *value) ([]string, error) {
	var types []string
	if t := s.get("type"); t == nil {
		types = impliedTypes(s)
	} else {
		list := []*value{t}
		if t.kind == '[' {
			list = t.items
		}
		for _, item := range list {
			if _, ok := keywords[item.text]; item.kind != '"' || !ok {
				return nil, errorf(where+"/type", "must be object, array, string, integer, number, boolean or null")
			}
			if !slices.Contains(types, item.text) {
				types = append(types, item.text)
			}
		}
		if len(types) == 0 {
			return nil, errorf(where+"/type", "names no type")
		}
	}
	nullable := s.get("nullable")
	if nullable != nil && nullable.kind != 't' {
		return nil, errorf(where+"/nullable", "must be true or false")
	}
	if nullable != nil && nullable.truth && len(types) > 0 && !slices.Contains(types, "null") {
		types = append(types, "null")
	}
	return types, nil
}

// impliedTypes returns the first type, in the order of the types, of which the schema has a keyword. An unsupported format
// does not imply a type.
func impliedTypes(s *value) []string {
	for _, name := range []string{"object", "array", "string", "number"} {
		for _, keyword := range keywords[name] {
			v := s.get(keyword)
			if v != nil && (keyword != "format" || formats[v.text] != "") {
				return []string{name}
			}
		}
	}
	return nil
}
