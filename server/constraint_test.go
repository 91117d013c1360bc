package server

import (
	"strings"
	"testing"
)

// The server honours constraints of other servers' APIs or refuses them. It ignores none silently.
func TestConstraints(t *testing.T) {
	const schema = `{"type":"object","properties":{"a":{"type":"integer"}}}`
	fake := newFake()
	fake.context = 4096
	s := serve(t, fake)
	for _, test := range []struct {
		fields string
		want   string // in the grammar, or the param of a 400
		status int
	}{
		{`"json_schema":` + schema, "value ::=", 200},
		{`"guided_json":` + schema, "value ::=", 200},
		{`"guided_json":"{\"type\":\"object\"}"`, "value ::=", 200},
		{`"guided_regex":"a+"`, `"a+"`, 200},
		{`"guided_choice":["a.b","c"]`, `"(a\.b|c)"`, 200},
		{`"guided_grammar":"root ::= [0-9]"`, "root ::= [0-9]", 200},
		{`"structured_outputs":{"json":` + schema + `}`, "value ::=", 200},
		{`"structured_outputs":{"json_object":true}`, "value ::=", 200},
		{`"structured_outputs":{"regex":"a+"}`, `"a+"`, 200},
		{`"structured_outputs":{"choice":["c"]}`, `"(c)"`, 200},
		{`"structured_outputs":{"grammar":"root ::= [0-9]"}`, "root ::= [0-9]", 200},
		{`"structured_outputs":null,"guided_json":null,"json_schema":null`, "", 200},
		{`"structured_outputs":{"json_object":false}`, "", 200},
		{`"guided_regex":"hopeless"`, "guided_regex", 400},
		{`"guided_regex":""`, "guided_regex", 400},
		{`"guided_json":{"hopeless":1}`, "guided_json", 400},
		{`"guided_json":"["`, "guided_json", 400},
		{`"guided_json":[]`, "guided_json", 400},
		{`"json_schema":{"uniqueItems":true}`, "json_schema", 400},
		{`"guided_choice":[]`, "guided_choice", 400},
		{`"guided_choice":[1]`, "guided_choice", 400},
		{`"guided_grammar":"x"`, "guided_grammar", 400},
		{`"structured_outputs":{"regex":"hopeless"}`, "structured_outputs.regex", 400},
		{`"structured_outputs":{"structural_tag":"{}"}`, "structured_outputs.structural_tag", 400},
		{`"structured_outputs":{"regex":"a","choice":["b"]}`, "structured_outputs.choice", 400},
		{`"guided_regex":"a","grammar":"root ::= [0-9]"`, "guided_regex", 400},
	} {
		for path, begin := range map[string]string{
			"/v1/chat/completions": `{"messages":[{"role":"user","content":"Hi"}],`, "/v1/completions": `{"prompt":"Hi",`, "/v1/responses": `{"input":"Hi",`,
		} {
			got := s.post(path, begin+test.fields+"}")
			switch {
			case got.status != test.status:
				t.Errorf("%s %s = %d %s, want %d", path, test.fields, got.status, got.body, test.status)
			case got.status == 400 && !strings.Contains(string(got.body), `"param":"`+test.want+`"`):
				t.Errorf("%s %s = %s, want %s as param", path, test.fields, got.body, test.want)
			case got.status == 200 && (test.want == "" != (fake.last().Grammar == "") || !strings.Contains(fake.last().Grammar, test.want)):
				t.Errorf("%s %s has the grammar %q, want %q", path, test.fields, fake.last().Grammar, test.want)
			}
		}
	}
}

func TestConstraintsBesideFormats(t *testing.T) {
	const schema = `{"type":"array"}`
	fake := newFake()
	fake.context = 4096
	s := serve(t, fake)
	for _, test := range []struct {
		fields, want string
		status       int
	}{
		{`"response_format":{"type":"json_object","schema":{"title":"A"}}`, `"5"`, 200},
		{`"response_format":{"type":"json_object","schema":{"hopeless":1}}`, `"param":"response_format"`, 400},
		{`"response_format":{"type":"json_object","schema":3}`, `"param":"response_format.schema"`, 400},
		{`"guided_json":` + schema + "," + weather, "root ::= calls | format-root", 200},
		{`"guided_regex":"a",` + weather, "cannot be combined with tools", 400},
		{`"guided_json":` + schema + `,"response_format":{"type":"json_object"}`, "cannot be combined with response_format", 400},
	} {
		got := s.post("/v1/chat/completions", `{"messages":[{"role":"user","content":"Hi"}],`+test.fields+"}")
		told := string(got.body)
		if got.status == 200 {
			told = fake.last().Grammar
		}
		if got.status != test.status || !strings.Contains(told, test.want) {
			t.Errorf("%s = %d, want %d with %q:\n%s", test.fields, got.status, test.status, test.want, told)
		}
	}
	got := s.post("/v1/responses", `{"input":"Hi","text":{"format":{"type":"json_object","schema":{"hopeless":1}}}}`)
	if got.status != 400 || !strings.Contains(string(got.body), `"param":"text.format"`) {
		t.Errorf("text.format = %d %s", got.status, got.body)
	}
}
