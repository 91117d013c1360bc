package gbnf

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

func TestFromSchema(t *testing.T) {
	tests := map[string]struct {
		schema  string
		yes, no []string
	}{
		"any":        {`{}`, []string{`1`, `"a"`, `[1,{"a":null}]`, `{"a": [true]}`, `-1.5e-3`}, []string{``, `01`, `{a:1}`, `[1,]`, `nul`}},
		"true":       {`true`, []string{`null`}, []string{`x`}},
		"string":     {`{"type":"string"}`, []string{`""`, `"a\"b\\ \u00e9 é日"`}, []string{`1`, `"a`, "\"\n\"", `"\x"`}},
		"lengths":    {`{"type":"string","minLength":2,"maxLength":3}`, []string{`"ab"`, `"日本語"`, `"\n\n"`}, []string{`"a"`, `"abcd"`}},
		"pattern":    {`{"type":"string","pattern":"^\\d{3}-[a-c]+(x|yz)?$"}`, []string{`"123-ab"`, `"000-cyz"`}, []string{`"12-a"`, `"123-"`, `"123-ad"`, `"123-axx"`}},
		"unanchored": {`{"pattern":"b"}`, []string{`"abc"`, `"b"`}, []string{`"ac"`}},
		"quotes":     {`{"pattern":"^[\"\\\\a]+$"}`, []string{`"\"a\\"`}, []string{`"""`, `"\a"`}},
		"dot":        {`{"pattern":"^a.$"}`, []string{`"ab"`, `"aé"`, `"a\""`}, []string{`"a"`, `"a"b"`}},
		"fold":       {`{"pattern":"^(?i)ab$"}`, []string{`"ab"`, `"aB"`}, []string{`"a"`}},
		"two cases":  {`{"pattern":"^[cC]d$"}`, []string{`"cd"`, `"Cd"`}, []string{`"CD"`}},
		"date":       {`{"type":"string","format":"date"}`, []string{`"2026-11-23"`}, []string{`"2026-13-01"`, `"2026-1-1"`}},
		"uuid":       {`{"format":"uuid"}`, []string{`"01234567-89ab-cdef-0123-456789abcdef"`}, []string{`"01234567"`}},
		"email":      {`{"format":"email"}`, []string{`"a.b@example.org"`}, []string{`"a b@example.org"`, `"a@"`}},
		"enum":       {`{"enum":["red","a\"b",3,null,{"k":[1]}]}`, []string{`"red"`, `"a\"b"`, `3`, `null`, `{"k":[1]}`}, []string{`red`, `4`, `"re"`}},
		"typed enum": {`{"type":["integer","null"],"enum":["red",3,null]}`, []string{`3`, `null`}, []string{`"red"`}},
		"const":      {`{"const":"x\ny"}`, []string{`"x\ny"`}, []string{`"x"`}},
		"integer":    {`{"type":"integer"}`, []string{`0`, `-12`, `999`}, []string{`1.5`, `00`, `-`, `1e3`}},
		"minimum":    {`{"type":"integer","minimum":3}`, []string{`3`, `9`, `10`, `12345`}, []string{`2`, `0`, `-3`}},
		"range":      {`{"type":"integer","minimum":-15,"maximum":120}`, []string{`-15`, `-9`, `0`, `99`, `120`, `119`}, []string{`-16`, `121`, `-0`, `200`}},
		"exclusive":  {`{"type":"integer","exclusiveMinimum":1,"exclusiveMaximum":4}`, []string{`2`, `3`}, []string{`1`, `4`}},
		"number":     {`{"type":"number","minimum":0,"maximum":1}`, []string{`0`, `1`, `0.5`, `0.001`}, []string{`1.1`, `-0.1`, `2`}},
		"fractions":  {`{"type":"number","minimum":-1.5,"maximum":2.5}`, []string{`-1`, `2`, `-0.7`, `1.9`}, []string{`-2`, `3`, `2.6`, `-1.6`}},
		"array":      {`{"type":"array","items":{"type":"boolean"}}`, []string{`[]`, `[true]`, `[ true, false ]`}, []string{`[1]`, `[true,]`, `[true false]`}},
		"items":      {`{"items":{"type":"null"},"minItems":2,"maxItems":3}`, []string{`[null,null]`, `[null,null,null]`}, []string{`[null]`, `[null,null,null,null]`}},
		"at most":    {`{"items":{"type":"null"},"maxItems":2}`, []string{`[]`, `[null]`, `[null,null]`}, []string{`[null,null,null]`}},
		"no items":   {`{"type":"array","maxItems":0}`, []string{`[]`, `[ ]`}, []string{`[1]`}},
		"tuple":      {`{"prefixItems":[{"type":"integer"},{"type":"string"}],"items":false}`, []string{`[1,"a"]`}, []string{`[1]`, `[1,"a",2]`}},
		"tuple more": {`{"prefixItems":[{"type":"integer"}],"items":{"type":"string"},"maxItems":2}`, []string{`[1]`, `[1,"a"]`}, []string{`[]`, `[1,"a","b"]`}},
		"object": {`{"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"string"},"c":{"type":"null"}},"required":["b"]}`,
			[]string{`{"b":""}`, `{"a":1,"b":""}`, `{"b":"", "c": null}`, `{"a":1,"b":"","c":null}`}, []string{`{}`, `{"a":1}`, `{"b":"",}`, `{"b":1}`, `{"d":1,"b":""}`}},
		"optional":   {`{"properties":{"a":{"const":1},"b":{"const":2}}}`, []string{`{}`, `{"a":1}`, `{"b":2}`, `{"a":1,"b":2}`}, []string{`{,}`, `{"a":1,}`, `{"b":2,"a":1}`}},
		"additional": {`{"properties":{"ab":{"const":1}},"additionalProperties":{"type":"boolean"}}`, []string{`{}`, `{"ab":1}`, `{"a":true}`, `{"abc":true,"x":false}`, `{"ab":1,"":true}`}, []string{`{"ab":true}`, `{"x":1}`}},
		"map":        {`{"type":"object","additionalProperties":{"type":"integer"}}`, []string{`{}`, `{"x":1,"y":2}`}, []string{`{"x":"y"}`, `{"x":1,}`}},
		"required":   {`{"type":"object","required":["x"],"additionalProperties":true}`, []string{`{"x":1}`, `{"x":[],"y":2}`}, []string{`{}`, `{"y":1}`}},
		"closed":     {`{"type":"object","additionalProperties":false}`, []string{`{}`, `{ }`}, []string{`{"a":1}`}},
		"anyOf":      {`{"anyOf":[{"type":"integer"},{"type":"null"}]}`, []string{`1`, `null`}, []string{`"a"`}},
		"types":      {`{"type":["string","integer"],"minimum":5}`, []string{`"a"`, `5`}, []string{`4`, `null`}},
		"allOf":      {`{"allOf":[{"$ref":"#/$defs/a~1b"}],"$defs":{"a/b":{"const":7}}}`, []string{`7`}, []string{`8`}},
		"recursion":  {`{"$ref":"#/$defs/node","$defs":{"node":{"type":"object","properties":{"next":{"anyOf":[{"$ref":"#/$defs/node"},{"type":"null"}]}},"required":["next"]}}}`, []string{`{"next":null}`, `{"next":{"next":null}}`}, []string{`{}`, `{"next":1}`}},
		"root":       {`{"properties":{"child":{"$ref":"#"}}}`, []string{`{}`, `{"child":{"child":{}}}`}, []string{`{"child":1}`}},
		"names":      {`{"properties":{"a\"b\\":{"const":1},"é 日":{"const":2}},"required":["a\"b\\","é 日"]}`, []string{`{"a\"b\\":1,"é 日":2}`}, []string{`{}`}},
		"nullable":   {`{"type":"string","format":"date","nullable":true}`, []string{`null`, `"2026-11-30"`}, []string{`1`, `"x"`}},
		"not null":   {`{"type":"string","nullable":false}`, []string{`""`}, []string{`null`}},
		"null enum":  {`{"type":"string","nullable":true,"enum":["a",null]}`, []string{`"a"`, `null`}, []string{`"b"`}},
		"kinds":      {`{"oneOf":[{"type":"integer"},{"type":"null"}],"discriminator":{"propertyName":"kind"}}`, []string{`1`, `null`}, []string{`"a"`}},
		"extension":  {`{"type":"integer","x-order":3,"format":"int64"}`, []string{`1`}, []string{`"a"`}},
		"double":     {`{"type":"number","format":"double","minimum":0}`, []string{`1.5`}, []string{`-1`}},
		"no type":    {`{"format":"phone"}`, []string{`1`, `"a"`}, nil},
		"encoded":    {`{"type":"string","format":"binary","contentEncoding":"base64","contentMediaType":"image/png"}`, []string{`"YQ=="`}, []string{`1`}},
		"any names":  {`{"type":"object","propertyNames":{"type":"string"},"additionalProperties":{"type":"integer"}}`, []string{`{}`, `{"a":1}`}, []string{`{"a":""}`}},
		"all names":  {`{"type":"object","propertyNames":true}`, []string{`{"a":1}`}, []string{`[]`}},
		"notes":      {`{"title":"T","description":"d","type":"boolean","default":true,"$schema":"x"}`, []string{`true`}, []string{`1`}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			text, err := FromSchema([]byte(test.schema))
			if err != nil {
				t.Fatal(err)
			}
			g := mustParse(t, text)
			for _, value := range test.yes {
				if ok, n := accepts(t, g, value); !ok {
					t.Errorf("%s is refused, %d bytes fit:\n%s", value, n, text)
				}
			}
			for _, value := range test.no {
				if ok, _ := accepts(t, g, value); ok {
					t.Errorf("%s is accepted:\n%s", value, text)
				}
			}
		})
	}
}

func TestFromSchemaRefuses(t *testing.T) {
	deep := strings.Repeat(`{"items":`, 100) + "{}" + strings.Repeat("}", 100)
	many := `{"properties":{"` + strings.Repeat("x", 20) + `":{}`
	for i := range 3000 {
		many += fmt.Sprintf(`,"p%d":{"type":"string","minLength":%d}`, i, i)
	}
	many += "}}"
	for name, test := range map[string]struct{ schema, want string }{
		"no json":         {`{`, "is not JSON"},
		"after its end":   {`{} {}`, "after its end"},
		"twice":           {`{"type":"string","type":"null"}`, `"type" twice`},
		"number":          {`3`, "must be a schema: an object"},
		"false":           {`false`, "describes no value"},
		"unknown type":    {`{"type":"text"}`, "#/type: must be object"},
		"no type":         {`{"type":[]}`, "names no type"},
		"unknown keyword": {`{"type":"string","colour":1}`, `"colour" is not supported`},
		"other's keyword": {`{"type":"string","minimum":1}`, `"minimum" is not supported`},
		"not":             {`{"not":{"type":"string"}}`, `"not"`},
		"if":              {`{"if":{}}`, `"if"`},
		"multipleOf":      {`{"type":"integer","multipleOf":5}`, `"multipleOf"`},
		"uniqueItems":     {`{"type":"array","uniqueItems":true}`, `"uniqueItems"`},
		"patternProps":    {`{"type":"object","patternProperties":{}}`, `"patternProperties"`},
		"minProperties":   {`{"type":"object","minProperties":1}`, `"minProperties"`},
		"allOf":           {`{"allOf":[{},{}]}`, "only with one schema"},
		"anyOf empty":     {`{"anyOf":[]}`, "must be a list"},
		"anyOf and type":  {`{"anyOf":[{}],"type":"string"}`, `"type" is not supported`},
		"enum empty":      {`{"enum":[]}`, "no value fits all its keywords"},
		"enum of type":    {`{"type":"string","enum":[1]}`, "no value fits all its keywords"},
		"enum and length": {`{"enum":["a"],"minLength":3}`, `"minLength" is not supported`},
		"remote ref":      {`{"$ref":"https://example.org/s"}`, "begins with #"},
		"lost ref":        {`{"$ref":"#/$defs/x"}`, "not in the schema"},
		"ref to itself":   {`{"$ref":"#"}`, "can never end"},
		"endless":         {`{"properties":{"a":{"$ref":"#"}},"required":["a"]}`, "can never end"},
		"reversed range":  {`{"type":"integer","minimum":5,"maximum":3}`, "no number"},
		"open range":      {`{"type":"number","exclusiveMinimum":0.2,"maximum":0.2}`, "no number"},
		"no integer":      {`{"type":"integer","minimum":0.2,"maximum":0.8}`, "no number"},
		"huge bound":      {`{"type":"integer","minimum":1e999999999}`, "with an exponent from -400 to 400"},
		"long bound":      {`{"type":"integer","minimum":99999999999999999999}`, "digits"},
		"boolean bound":   {`{"type":"integer","exclusiveMinimum":true}`, "must be a number"},
		"reversed length": {`{"type":"string","minLength":5,"maxLength":3}`, "no string"},
		"negative length": {`{"type":"string","minLength":-1}`, "must be a number"},
		"huge length":     {`{"type":"string","maxLength":1000000}`, "must be a number"},
		"reversed items":  {`{"type":"array","minItems":5,"maxItems":3}`, "no array"},
		"short tuple":     {`{"prefixItems":[{},{}],"maxItems":1}`, "no array"},
		"format":          {`{"type":"string","format":3}`, "must be a string"},
		"bad pattern":     {`{"pattern":"("}`, "missing closing"},
		"lookahead":       {`{"pattern":"^(?=a)b$"}`, "no string fits"},
		"later lookahead": {`{"pattern":"^a(?=b)"}`, "only at the start"},
		"either ahead":    {`{"pattern":"^(?!a)b|c"}`, "only at the start"},
		"lookbehind":      {`{"pattern":"(?<!a)b"}`, "invalid"},
		"word border":     {`{"pattern":"a\\bc"}`, "not supported"},
		"inner anchor":    {`{"pattern":"a^b"}`, "no string fits"},
		"empty class":     {`{"pattern":"^[^\\x00-\\x{10FFFF}]$"}`, ""},
		"pattern bomb":    {`{"pattern":"^((a{1000}){1000})$"}`, ""},
		"pattern, length": {`{"pattern":"a{9}","maxLength":3}`, "no string fits"},
		"pattern, long":   {`{"pattern":"a","maxLength":9999}`, "too large a grammar"},
		"format, length":  {`{"format":"date","minLength":11}`, "no string fits"},
		"many places":     {`{"pattern":"(a[bc]{999}){999}d","maxLength":9}`, "invalid repeat count"},
		"many sums":       {`{"pattern":"^(a|b)*a(a|b){30}$","maxLength":1000}`, "too large a grammar"},
		"nullable":        {`{"type":"string","nullable":1}`, "must be true or false"},
		"propertyNames":   {`{"type":"object","propertyNames":{"pattern":"^a"}}`, "every name"},
		"required":        {`{"type":"object","properties":{},"required":["x"],"additionalProperties":false}`, "properties does not list"},
		"required names":  {`{"type":"object","required":[1]}`, "must be a list of names"},
		"properties":      {`{"type":"object","properties":[]}`, "must be an object"},
		"deep":            {deep, "nested more than"},
		"long":            {`{"title":"` + strings.Repeat("x", MaxSchemaBytes) + `"}`, "bytes"},
		"many":            {many, "at most"},
		"invalid utf-8":   {"{\"title\":\"\xff\"}", "UTF-8"},
	} {
		t.Run(name, func(t *testing.T) {
			text, err := FromSchema([]byte(test.schema))
			var refused *Error
			if !errors.As(err, &refused) || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("FromSchema: %v, want one line with %q; grammar:\n%.300s", err, test.want, text)
			}
		})
	}
}

// write generates a random text of a grammar, and ends as soon as possible once the text is long.
func write(t *testing.T, g *Grammar, random *rand.Rand) (string, bool) {
	m := g.Matcher()
	text := []byte{}
	for len(text) < 3000 && !m.Ended() {
		if m.Complete() && (len(text) > 40 || random.IntN(3) == 0) {
			break
		}
		var next []byte
		for b := range 256 {
			// Closing and plain characters have a higher weight than opening ones.
			if ok, err := m.Accepts([]byte{byte(b)}); err != nil {
				t.Fatal(err)
			} else if ok {
				weight := 1
				if len(text) > 40 && strings.IndexByte("\"]},:0", byte(b)) >= 0 {
					weight = 300
				}
				for range weight {
					next = append(next, byte(b))
				}
			}
		}
		b := next[random.IntN(len(next))]
		text = append(text, b)
		if err := m.Advance([]byte{b}); err != nil {
			t.Fatal(err)
		}
	}
	return string(text), m.Complete()
}

// Every text of a schema's grammar is JSON.
func TestSchemasGiveJSON(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for _, schema := range []string{
		`{}`, `{"type":"object"}`, `{"type":"string"}`, `{"type":"number","minimum":-3.5}`, `{"type":"integer","maximum":1234}`,
		`{"properties":{"a":{"type":"array","items":{"type":"number"}},"b":{"enum":["x","\\\""]}},"additionalProperties":{"type":"string","pattern":"[a\"\\\\].\\n?"}}`,
		`{"format":"date-time"}`, `{"format":"uri"}`, `{"format":"hostname"}`, `{"pattern":"^\\w+\\s.*$"}`,
	} {
		text, err := FromSchema([]byte(schema))
		if err != nil {
			t.Fatal(err)
		}
		g := mustParse(t, text)
		whole := 0
		for range 40 {
			got, complete := write(t, g, random)
			if complete {
				if whole++; !json.Valid([]byte(got)) {
					t.Errorf("%s gives %q, which is not JSON", schema, got)
				}
			}
		}
		if whole == 0 {
			t.Errorf("%s: no text was complete", schema)
		}
	}
}

// Wherever JSON allows white space between tokens, a grammar bounds its length. A small model would otherwise write blanks to
// the end of its context.
func TestRunsOfWhitespaceAreBounded(t *testing.T) {
	const most = 21 // a line end and an indent of twenty
	for _, schema := range []string{
		`{}`, `{"type":"object"}`, `{"properties":{"a":{"type":"array","items":{"type":"number"}}}}`, `{"properties":{"a":{}},"required":["a"]}`,
	} {
		text, err := FromSchema([]byte(schema))
		if err != nil {
			t.Fatal(err)
		}
		g := mustParse(t, text)
		tokens := []string{"{", `"a"`, ":", "[", "1", ",", "2", "]", "}"}
		if whole, _ := accepts(t, g, strings.Join(tokens, "\n  ")); !whole {
			t.Errorf("%s refuses JSON with indents", schema)
		}
		for at := range len(tokens) + 1 {
			for _, blank := range []string{" ", "\n", "\t", "\r"} {
				before := strings.Join(tokens[:at], "")
				run := strings.Repeat(blank, 1000)
				if _, prefix := accepts(t, g, before+run); prefix > len(before)+most {
					t.Errorf("%s accepts %d times %q after %q, want at most %d", schema, prefix-len(before), blank, before, most)
				}
				if _, prefix := accepts(t, g, before+"\n"+run); prefix > len(before)+most {
					t.Errorf("%s accepts %d times %q and a line end after %q, want at most %d", schema, prefix-len(before), blank, before, most)
				}
			}
		}
	}
}

func FuzzFromSchema(f *testing.F) {
	f.Add([]byte(`{"type":"object","properties":{"a":{"type":"integer","minimum":-5},"b":{"$ref":"#"}},"required":["a"],"additionalProperties":{"pattern":"^a|b+$"}}`))
	f.Add([]byte(`{"anyOf":[{"prefixItems":[{},true],"maxItems":3},{"format":"date"},{"enum":[1.5,"é"]}]}`))
	f.Add([]byte(`{"prefixItems":[{"format":"email","pattern":"^(?!\\.)[a-z.]{2,}@.*$","maxLength":30},{"type":"number","exclusiveMinimum":-1.5e-3,"maximum":2.25e3},{"format":"uri","maxLength":2083}]}`))
	f.Fuzz(func(t *testing.T, schema []byte) {
		text, err := FromSchema(schema)
		if err != nil {
			var refused *Error
			if !errors.As(err, &refused) {
				t.Fatalf("FromSchema: %v", err)
			}
			return
		}
		g, err := Parse(text)
		if err != nil {
			t.Fatalf("the grammar of a schema does not parse: %v", err)
		}
		g.Matcher()
	})
}
