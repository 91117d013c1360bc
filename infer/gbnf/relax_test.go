package gbnf

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// The converter drops a keyword that it cannot express, and keeps the others.
func TestFromSchemaRelaxed(t *testing.T) {
	var long strings.Builder
	for i := range 20 {
		fmt.Fprintf(&long, `"p%d":{"type":"string","maxLength":%d},`, i, 16000+i)
	}
	for name, test := range map[string]struct {
		schema  string
		yes, no []string
	}{
		"uniqueItems":       {`{"type":"array","items":{"type":"integer"},"uniqueItems":true}`, []string{`[1,1]`}, []string{`["a"]`}},
		"multipleOf":        {`{"type":"integer","minimum":3,"multipleOf":5}`, []string{`5`, `6`}, []string{`2`, `"a"`}},
		"not":               {`{"type":"string","not":{"const":"a"}}`, []string{`"a"`}, []string{`1`}},
		"not alone":         {`{"not":{"type":"null"}}`, []string{`1`, `{"a":1}`}, []string{`x`}},
		"if":                {`{"type":"object","properties":{"a":{"type":"integer"}},"if":{},"then":{"properties":{"b":{}}}}`, []string{`{"a":1}`, `{"a":1,"b":2}`}, []string{`{"a":"x"}`, `1`}},
		"allOf of two":      {`{"allOf":[{"properties":{"a":{}}},{"properties":{"b":{}}}]}`, []string{`{"a":1,"b":2}`}, []string{`x`}},
		"allOf beside":      {`{"type":"object","properties":{"a":{"type":"integer"}},"required":["a"],"allOf":[{"required":["b"]}]}`, []string{`{"a":1,"b":2}`}, []string{`{"a":"x"}`, `{}`}},
		"anyOf beside":      {`{"type":"object","properties":{"a":{"type":"integer"}},"anyOf":[{"required":["a"]}]}`, []string{`{"a":1}`, `{}`}, []string{`{"a":"x"}`}},
		"anyOf and type":    {`{"type":"object","anyOf":[{"type":"object","properties":{"a":{"type":"integer"}}},{"type":"object","properties":{"b":{}}}]}`, []string{`{"a":1}`, `{"b":1}`}, []string{`{"a":"x"}`}},
		"contains":          {`{"type":"array","contains":{"const":1},"maxItems":2}`, []string{`[]`, `[2]`}, []string{`[1,2,3]`}},
		"minProperties":     {`{"type":"object","minProperties":1,"additionalProperties":{"type":"integer"}}`, []string{`{}`, `{"a":1}`}, []string{`{"a":"x"}`}},
		"patternProperties": {`{"type":"object","properties":{"a":{"type":"integer"}},"patternProperties":{"^b":{}},"additionalProperties":false}`, []string{`{"a":1,"b":2}`}, []string{`{"a":"x"}`}},
		"dependentRequired": {`{"type":"object","properties":{"a":{"type":"integer"}},"dependentRequired":{"a":["b"]}}`, []string{`{"a":1}`}, []string{`{"a":"x"}`, `{"b":1}`}},
		"propertyNames":     {`{"type":"object","propertyNames":{"pattern":"^a"},"additionalProperties":{"type":"integer"}}`, []string{`{"b":1}`}, []string{`{"b":"x"}`}},
		"maxLength":         {`{"type":"string","minLength":2,"maxLength":16385}`, []string{`"ab"`}, []string{`"a"`}},
		"many long":         {`{"type":"object","properties":{` + long.String() + `"z":{"type":"string","maxLength":2}},"required":["z"]}`, []string{`{"z":"ab"}`}, []string{`{"z":"abc"}`, `{"p0":1,"z":""}`}},
		"null":              {`{"type":"object","properties":{"a":{"type":"integer","minimum":null,"enum":null}},"required":null}`, []string{`{}`, `{"a":1}`}, []string{`{"a":"x"}`}},
		"required draft 3":  {`{"properties":{"a":{"description":"d","required":true}}}`, []string{`{"a":1}`, `{"a":"x"}`}, []string{`1`}},
		"required unlisted": {`{"type":"object","properties":{"a":{"type":"integer"}},"required":["b"]}`, []string{`{"b":1}`, `{"a":1,"b":1}`}, []string{`{"a":1}`}},
		"required closed":   {`{"type":"object","properties":{"a":{"type":"integer"}},"required":["a","b"],"additionalProperties":false}`, []string{`{"a":1}`}, []string{`{}`}},
		"draft 4":           {`{"type":"integer","minimum":3,"exclusiveMinimum":true}`, []string{`3`, `4`}, []string{`2`}},
		"unknown keyword":   {`{"type":"string","colour":1,"minimum":3}`, []string{`"a"`}, []string{`1`}},
		"unknown type":      {`{"properties":{"a":{"type":"text"},"b":{"type":["text","null"]}}}`, []string{`{"a":1}`, `{"b":null}`}, []string{`{"b":1}`}},
		"pattern":           {`{"type":"string","pattern":"(?<!a)b","maxLength":2}`, []string{`"c"`}, []string{`"abc"`, `1`}},
		"enum of a type":    {`{"type":"integer","enum":["1","2"]}`, []string{`"1"`}, []string{`1`, `"3"`}},
		"empty enum":        {`{"type":"string","enum":[]}`, []string{`"a"`}, []string{`1`}},
		"lost ref":          {`{"properties":{"a":{"$ref":"#/$defs/x"},"b":{"$ref":"https://example.org/s","type":"string"}}}`, []string{`{"a":1}`, `{"b":"x"}`}, []string{`{"b":1}`}},
		"nullable ref":      {`{"properties":{"a":{"$ref":"#/$defs/x","nullable":true}},"$defs":{"x":{"type":"integer"}}}`, []string{`{"a":1}`, `{"a":null}`}, []string{`{"a":"x"}`}},
		"endless":           {`{"$ref":"#"}`, []string{`{}`, `1`}, []string{`x`}},
		"false":             {`{"properties":{"a":false,"":{},"b":{"type":"null"}}}`, []string{`{"b":null}`}, []string{`{"b":1}`}},
		"reversed bounds":   {`{"type":["array","integer"],"minItems":5,"maxItems":3,"minimum":5,"maximum":3}`, []string{`[]`, `3`}, []string{`"a"`}},
	} {
		t.Run(name, func(t *testing.T) {
			text, err := FromSchemaRelaxed([]byte(test.schema))
			if err != nil {
				t.Fatal(err)
			}
			g := mustParse(t, text)
			for _, value := range test.yes {
				if ok, n := accepts(t, g, value); !ok {
					t.Errorf("%s is refused, %d bytes fit:\n%.2000s", value, n, text)
				}
			}
			for _, value := range test.no {
				if ok, _ := accepts(t, g, value); ok {
					t.Errorf("%s is accepted:\n%.2000s", value, text)
				}
			}
		})
	}
}

// A schema that a grammar can express gives the same grammar as FromSchema.
func TestFromSchemaRelaxedIsExactWhereItCanBe(t *testing.T) {
	for _, schema := range []string{
		`{}`, `{"type":"object"}`, `{"properties":{"a":{"type":"string","format":"date","nullable":true},"b":{"enum":["x",1]}},"required":["b"],"additionalProperties":false}`,
		`{"anyOf":[{"$ref":"#/$defs/a"},{"type":"null"}],"$defs":{"a":{"type":"array","items":{"const":7},"minItems":2}}}`,
		`{"type":["string","integer"],"minimum":5,"pattern":"^a+$"}`,
	} {
		want, err := FromSchema([]byte(schema))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := FromSchemaRelaxed([]byte(schema)); err != nil || got != want {
			t.Errorf("%s gives, error %v,\n%s\nwant\n%s", schema, err, got, want)
		}
	}
}

func TestFromSchemaRelaxedRefuses(t *testing.T) {
	for _, schema := range []string{``, `{`, `{} {}`, `{"a":1,"a":1}`, `{"title":"` + strings.Repeat("x", MaxSchemaBytes) + `"}`} {
		var refused *Error
		if text, err := FromSchemaRelaxed([]byte(schema)); !errors.As(err, &refused) {
			t.Errorf("%.40s gives %q, error %v, want an *Error", schema, text, err)
		}
	}
}

// The converter tries a schema that fails within another one only once: this one would otherwise take exponential time.
func TestFromSchemaRelaxedIsBounded(t *testing.T) {
	schema := `{"type":"string","pattern":"("}`
	for range 25 {
		schema = `{"type":["array","object"],"minItems":9,"maxItems":1,"items":` + schema + `,"additionalProperties":{}}`
	}
	if _, err := FromSchemaRelaxed([]byte(schema)); err != nil {
		t.Error(err)
	}
}

func FuzzFromSchemaRelaxed(f *testing.F) {
	f.Add([]byte(`{"type":"object","properties":{"a":{"type":"integer","multipleOf":5,"exclusiveMinimum":true},"b":{"$ref":"#","nullable":true}},"required":["c"],"patternProperties":{"a":{}}}`))
	f.Add([]byte(`{"anyOf":[{"enum":[]},{"type":"text"}],"allOf":[{},{}],"properties":{"":false}}`))
	f.Fuzz(func(t *testing.T, schema []byte) {
		text, err := FromSchemaRelaxed(schema)
		if err != nil {
			var refused *Error
			if !errors.As(err, &refused) {
				t.Fatalf("FromSchemaRelaxed: %v", err)
			}
			return
		}
		if _, err := Parse(text); err != nil {
			t.Fatalf("the grammar of a schema does not parse: %v", err)
		}
	})
}
