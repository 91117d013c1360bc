package gbnf

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"unicode/utf8"
)

// property is one member that an object may have.
type property struct {
	text     string // of its grammar: name, colon and value
	required bool
}

// object returns a rule for objects: the properties in the schema's order, optional ones present or not, then additional ones.
func (c *converter) object(where string, s *value) (string, error) {
	listed, additional := s.get("properties"), s.get("additionalProperties")
	required, err := requiredNames(where, s.get("required"))
	if err != nil {
		return "", err
	}
	if names := s.get("propertyNames"); names != nil && !anyName(names) {
		return "", errorf(where+"/propertyNames", "is supported only if it allows every name")
	}
	if listed == nil && additional == nil && len(required) == 0 {
		return c.use("object"), nil
	}
	if listed == nil {
		listed = &value{kind: '{'}
	}
	if listed.kind != '{' {
		return "", errorf(where+"/properties", "must be an object")
	}
	c.use("ws")
	if listed.get("") != nil {
		return "", errorf(where+"/properties", "a property without a name is not supported")
	}
	var properties []property
	var names []string
	for _, m := range listed.members {
		rule, err := c.value(where+"/properties/"+m.name, m.value)
		if err != nil {
			return "", err
		}
		properties = append(properties, property{c.member(m.name, rule), slices.Contains(required, m.name)})
		names = append(names, m.name)
	}
	other, err := c.additional(where, additional, listed, len(required) > 0 && len(listed.members) == 0)
	if err != nil {
		return "", err
	}
	for _, name := range required {
		if slices.Contains(names, name) {
			continue
		}
		if other == "" {
			return "", errorf(where+"/required", "properties does not list %q", name)
		}
		properties = append(properties, property{c.member(name, other), true})
		names = append(names, name)
	}
	if other != "" {
		other = c.otherName(names) + ` ws ":" ws ` + other + " ws"
	}
	return c.rule(`"{" ws ` + c.members(properties, other) + ` "}"`), nil
}

// anyName reports whether a schema for member names is certain to allow all of them: {}, true or {"type":"string"}.
func anyName(s *value) bool {
	t := s.get("type")
	return s.kind == 't' && s.truth || s.kind == '{' && only("", s, "type") == nil && (t == nil || t.text == "string")
}

func requiredNames(where string, list *value) ([]string, error) {
	if list == nil {
		return nil, nil
	}
	var names []string
	for _, item := range list.items {
		if item.kind != '"' {
			return nil, errorf(where+"/required", "must be a list of names")
		}
		if !slices.Contains(names, item.text) {
			names = append(names, item.text)
		}
	}
	if list.kind != '[' {
		return nil, errorf(where+"/required", "must be a list of names")
	}
	return names, nil
}

func (c *converter) member(name, rule string) string {
	return c.rule(literal(quoteJSON(name)) + ` ws ":" ws ` + rule + " ws")
}

// additional returns the rule for the values of members that are not listed, or "" if the schema forbids such members.
func (c *converter) additional(where string, s, listed *value, open bool) (string, error) {
	switch {
	case s == nil && !open, s != nil && s.kind == 't' && !s.truth:
		return "", nil
	case s == nil:
		return c.use("anyvalue"), nil
	}
	return c.value(where+"/additionalProperties", s)
}

// members returns the inside of an object. It builds it from the end to the start, so that the text grows linearly with the
// number of properties. after[i] continues at property i if a member came before it, first[i] if none did.
func (c *converter) members(properties []property, other string) string {
	after, first := `""`, `""`
	if other != "" {
		name := c.rule(other)
		after = c.rule(`("," ws ` + name + ")*")
		first = c.rule("(" + name + " " + after + ")?")
	}
	for i := len(properties) - 1; i >= 0; i-- {
		p := properties[i]
		if p.required {
			first = c.rule(p.text + " " + after)
			after = c.rule(`"," ws ` + p.text + " " + after)
			continue
		}
		first = c.rule(p.text + " " + after + " | " + first)
		after = c.rule(`("," ws ` + p.text + ")? " + after)
	}
	return first
}

// otherName returns a rule for member names, without escapes, other than the given ones.
func (c *converter) otherName(names []string) string {
	if len(names) == 0 {
		return c.use("string")
	}
	// This rule allows no name with a character that must be escaped, so such names need no exclusion.
	sorted := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return quoteJSON(name) != `"`+name+`"` || strings.ContainsRune(name, 0x7f) })
	sort.Strings(sorted)
	const plain = `\"\\\x00-\x1f\x7f`
	var differ func(names []string, from int) string
	differ = func(names []string, from int) string {
		// The names share their first from bytes, which the rule has already. It continues with a character that none of them has
		// next, or with one that some have and differ later.
		ends := false // one of them ends here, so another name must continue
		var ways []string
		excluded := ""
		for len(names) > 0 {
			if len(names[0]) == from {
				ends, names = true, names[1:]
				continue
			}
			r, size := utf8.DecodeRuneInString(names[0][from:])
			n := 1
			for n < len(names) && strings.HasPrefix(names[n][from:], names[0][from:from+size]) {
				n++
			}
			class := classChar(r)
			excluded += class
			ways = append(ways, "["+class+"] "+differ(names[:n], from+size))
			names = names[n:]
		}
		ways = append(ways, fmt.Sprintf("[^%s%s] [^%s]*", plain, excluded, plain))
		if !ends {
			ways = append(ways, `""`)
		}
		return c.rule(strings.Join(ways, " | "))
	}
	return c.rule(`"\"" ` + differ(sorted, 0) + ` "\""`)
}

// classChar returns a character as it appears in a character class of a grammar.
func classChar(r rune) string { return fmt.Sprintf(`\U%08x`, r) }
