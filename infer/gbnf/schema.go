package gbnf

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// FromSchema converts a JSON schema to a grammar for the JSON that it describes, with members in the schema's order. If it
// cannot express a schema, it returns an *Error that names the place; it never ignores a restriction. It deviates from JSON
// Schema in three ways:
//
//   - It treats oneOf as anyOf.
//   - An object whose schema has properties but no additionalProperties has no other members.
//   - A pattern overrides a format if no string matches both, or if combining them takes too long.
func FromSchema(schema []byte) (string, error) { return fromSchema(schema, &converter{}) }

func fromSchema(schema []byte, c *converter) (string, error) {
	if len(schema) > MaxSchemaBytes {
		return "", errorf("#", "has %d bytes, at most %d are allowed", len(schema), MaxSchemaBytes)
	}
	root, err := parseJSON(schema)
	if err != nil {
		return "", errorf("#", "%s", err)
	}
	c.root, c.refs, c.texts = root, map[string]string{}, map[string]string{}
	rule, err := c.value("#", root)
	if err != nil {
		return "", err
	}
	text := "root ::= " + rule + "\n" + c.out.String()
	if len(text) > MaxGrammarBytes {
		return "", errorf("#", "needs a grammar of %d bytes, at most %d are allowed; simplify the schema", len(text), MaxGrammarBytes)
	}
	if _, err := Parse(text); err != nil {
		return "", errorf("#", "cannot be a grammar: %s", err)
	}
	return text, nil
}

// converter collects the rules for the parts of a schema.
type converter struct {
	root  *value
	out   strings.Builder
	count int               // rules written
	refs  map[string]string // rules of $refs, including those in progress
	texts map[string]string // rules by their right side
	depth int               // nesting of values, including $refs
	steps int               // steps of automata so far

	relaxed bool // ignore keywords that a grammar cannot express, and bounds above most; see relax.go
	most    int
}

// builtins lists rules by name, and the rules that they use.
var builtins = map[string]struct {
	text  string
	needs []string
}{
	// White space between tokens of JSON is bounded, because a model could otherwise write it forever.
	"ws":       {`"" | " " | "\n" [ \t]{0,20}`, nil},
	"boolean":  {`"true" | "false"`, nil},
	"null":     {`"null"`, nil},
	"integer":  {strings.Join(int64s.signed(span.integers), " | "), nil},
	"number":   {`"-"? ("0" | [1-9] [0-9]{0,18}) ("." [0-9]{1,20})? ([eE] [-+]? [0-9]{1,3})?`, nil},
	"char":     {`[^"\\\x00-\x1f\x7f] | "\\" (["\\/bfnrt] | "u" [0-9a-fA-F]{4})`, nil},
	"string":   {`"\"" char* "\""`, []string{"char"}},
	"anyvalue": {`object | array | string | number | boolean | null`, []string{"object", "array", "string", "number", "boolean", "null"}},
	"object":   {`"{" ws ("}" | string ws ":" ws anyvalue ws ("," ws string ws ":" ws anyvalue ws)* "}")`, []string{"ws", "string", "anyvalue"}},
	"array":    {`"[" ws ("]" | anyvalue ws ("," ws anyvalue ws)* "]")`, []string{"ws", "anyvalue"}},
}

// use adds a builtin rule unless it exists, and returns its name.
func (c *converter) use(name string) string {
	if _, ok := c.refs[name]; !ok {
		c.refs[name] = name // paths of $refs begin with #, so they never equal a name
		b := builtins[name]
		fmt.Fprintf(&c.out, "%s ::= %s\n", name, b.text)
		for _, n := range b.needs {
			c.use(n)
		}
	}
	return name
}

// rule adds a rule, or finds one with the same text, and returns its name.
func (c *converter) rule(text string) string {
	if name, ok := c.texts[text]; ok {
		return name
	}
	name := c.fresh()
	c.texts[text] = name
	fmt.Fprintf(&c.out, "%s ::= %s\n", name, text)
	return name
}

func (c *converter) fresh() string {
	c.count++
	return "r" + strconv.Itoa(c.count)
}

// annotations are keywords that do not restrict a value.
var annotations = []string{"title", "description", "default", "examples", "example", "deprecated", "readOnly", "writeOnly",
	"$schema", "$id", "$comment", "$defs", "definitions", "$anchor", "contentEncoding", "contentMediaType", "contentSchema"}

// only calls the function only, unless the schema is relaxed and may have any keyword.
func (c *converter) only(where string, s *value, keywords ...string) error {
	if c.relaxed {
		return nil
	}
	return only(where, s, keywords...)
}

// only refuses keywords that are neither in the list nor annotations. All keywords that begin with x- are annotations.
func only(where string, s *value, keywords ...string) error {
	for _, m := range s.members {
		if !slices.Contains(annotations, m.name) && !slices.Contains(keywords, m.name) && !strings.HasPrefix(m.name, "x-") {
			return errorf(where, "%q is not supported here", m.name)
		}
	}
	return nil
}

// value returns the name of a rule for the values that a schema describes.
func (c *converter) value(where string, s *value) (string, error) {
	if c.depth++; c.depth > maxNesting {
		return "", errorf(where, "is nested more than %d levels deep, counting $refs", maxNesting)
	}
	defer func() { c.depth-- }()
	if c.relaxed {
		return c.relax(where, s), nil
	}
	return c.exact(where, s)
}

// exact returns the name of a rule for the values that a schema describes, or an error.
func (c *converter) exact(where string, s *value) (string, error) {
	if c.count > maxRules || c.out.Len() > MaxGrammarBytes {
		return "", errorf(where, "the schema needs too large a grammar; simplify it")
	}
	switch {
	case s.kind == 't' && s.truth:
		return c.use("anyvalue"), nil
	case s.kind == 't':
		return "", errorf(where, "false describes no value")
	case s.kind != '{':
		return "", errorf(where, "must be a schema: an object or a boolean")
	}
	if ref := s.get("$ref"); ref != nil {
		if err := c.only(where, s, "$ref"); err != nil {
			return "", err
		}
		return c.ref(where, ref)
	}
	for _, keyword := range []string{"anyOf", "oneOf", "allOf"} {
		if list := s.get(keyword); list != nil {
			return c.combination(where, s, keyword, list)
		}
	}
	if s.get("const") != nil || s.get("enum") != nil {
		return c.enumeration(where, s)
	}
	types, err := typesOf(where, s)
	if err != nil {
		return "", err
	}
	if len(types) == 0 {
		return c.use("anyvalue"), c.only(where, s, "format", "nullable")
	}
	return c.byType(where, s, types)
}

// ref returns the rule of a part of the same schema, which may refer to itself.
func (c *converter) ref(where string, ref *value) (string, error) {
	if ref.kind != '"' || ref.text != "#" && !strings.HasPrefix(ref.text, "#/") {
		return "", errorf(where+"/$ref", "must be a path within the schema that begins with #")
	}
	if name, ok := c.refs[ref.text]; ok {
		return name, nil
	}
	target := c.target(ref.text)
	if target == nil {
		return "", errorf(where+"/$ref", "%q is not in the schema", ref.text)
	}
	name := c.fresh()
	c.refs[ref.text] = name
	rule, err := c.value(ref.text, target)
	if err != nil {
		return "", err
	}
	fmt.Fprintf(&c.out, "%s ::= %s\n", name, rule)
	return name, nil
}

// target returns the part of the schema to which a path such as #/$defs/node refers, or nil if there is none.
func (c *converter) target(ref string) *value {
	target := c.root
	for _, part := range strings.Split(ref, "/")[1:] {
		part = strings.NewReplacer("~1", "/", "~0", "~").Replace(part)
		next := target.get(part)
		if i, err := strconv.Atoi(part); target.kind == '[' && err == nil && i >= 0 && i < len(target.items) {
			next = target.items[i]
		}
		if target = next; target == nil {
			return nil
		}
	}
	return target
}

// combination handles anyOf, oneOf and an allOf of one.
func (c *converter) combination(where string, s *value, keyword string, list *value) (string, error) {
	if err := c.only(where, s, keyword, "discriminator"); err != nil {
		return "", err
	}
	if list.kind != '[' || len(list.items) == 0 {
		return "", errorf(where+"/"+keyword, "must be a list of schemas")
	}
	if keyword == "allOf" && len(list.items) > 1 {
		return "", errorf(where+"/allOf", "is supported only with one schema")
	}
	var rules []string
	for i, item := range list.items {
		rule, err := c.value(fmt.Sprintf("%s/%s/%d", where, keyword, i), item)
		if err != nil {
			return "", err
		}
		rules = append(rules, rule)
	}
	return c.rule(strings.Join(rules, " | ")), nil
}

// enumeration handles const and enum. If the schema also has a type, it excludes values of other types.
func (c *converter) enumeration(where string, s *value) (string, error) {
	if err := c.only(where, s, "const", "enum", "type", "nullable"); err != nil {
		return "", err
	}
	types, err := typesOf(where, s)
	if err != nil {
		return "", err
	}
	var values []*value
	if list := s.get("enum"); list != nil {
		if list.kind != '[' {
			return "", errorf(where+"/enum", "must be a list")
		}
		values = list.items
	}
	if one := s.get("const"); one != nil {
		if s.get("enum") != nil {
			return "", errorf(where, "const and enum together are not supported")
		}
		values = []*value{one}
	}
	var literals []string
	for _, v := range values {
		if len(types) == 0 || v.isOne(types) {
			literals = append(literals, literal(v.encode()))
		}
	}
	if len(literals) == 0 {
		return "", errorf(where, "no value fits all its keywords")
	}
	return c.rule(strings.Join(literals, " | ")), nil
}

func (v *value) isOne(types []string) bool {
	name := map[byte]string{'{': "object", '[': "array", '"': "string", '0': "number", 't': "boolean", 'n': "null"}[v.kind]
	if slices.Contains(types, name) {
		return true
	}
	_, err := strconv.ParseInt(v.text, 10, 64)
	return v.kind == '0' && err == nil && slices.Contains(types, "integer")
}

// literal returns text as a string of a grammar.
func literal(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, `\x%02x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// bound reads a keyword that is a number of items. It returns -1 if the keyword is not set.
func bound(where string, s *value, keyword string) (int, error) {
	v := s.get(keyword)
	if v == nil {
		return -1, nil
	}
	n, err := strconv.Atoi(v.text)
	if v.kind != '0' || err != nil || n < 0 || n > maxRepetitions {
		return 0, errorf(where+"/"+keyword, "must be a number from 0 to %d", maxRepetitions)
	}
	return n, nil
}
