package openapi

import (
	"encoding/json"
	"regexp"
	"strings"
)

const maxChoiceTexts = 1024 // of guided_choice

// Constraint is a constraint from a field of llama.cpp or vLLM, apart from tools and formats. At most one of Grammar,
// Pattern and Schema is set; Field then names the request's field.
type Constraint struct {
	Field   string
	Grammar string          // GBNF
	Pattern string          // a regular expression that matches the whole answer
	Schema  json.RawMessage // a JSON schema
}

// readConstraint reads all fields that constrain an answer. It refuses more than one.
func readConstraint(f *fields) Constraint {
	var found []Constraint
	add := func(c Constraint, ok bool) {
		if ok && f.err == nil {
			found = append(found, c)
		}
	}
	add(f.constrainedByGrammar("grammar"))
	add(f.constrainedBySchema("json_schema"))
	for _, kind := range []string{"json", "regex", "choice", "grammar"} {
		add(f.constrainedBy(kind, "guided_"+kind))
	}
	if outputs, ok := f.object("structured_outputs"); ok {
		for _, kind := range []string{"json", "regex", "choice", "grammar", "json_object"} {
			add(outputs.constrainedBy(kind, kind))
		}
		outputs.only("structural_tag", "no grammar can express it")
		f.err = outputs.err
	}
	if len(found) == 0 || f.err != nil {
		return Constraint{}
	}
	if len(found) > 1 {
		f.err = Invalid(found[1].Field, CodeInvalidValue, "%s cannot be combined with %s", found[1].Field, found[0].Field)
	}
	return found[0]
}

// constrainedBy reads a constraint of one of vLLM's kinds.
func (f *fields) constrainedBy(kind, name string) (Constraint, bool) {
	switch kind {
	case "json":
		return f.constrainedBySchema(name)
	case "grammar":
		return f.constrainedByGrammar(name)
	case "choice":
		return f.constrainedByChoice(name)
	case "json_object":
		var asked bool
		f.boolean(name, &asked)
		return Constraint{Field: f.path + name, Schema: json.RawMessage(`{"type":"object"}`)}, asked
	}
	c := Constraint{Field: f.path + name}
	_, given := f.get(name)
	f.str(name, MaxGrammarBytes, &c.Pattern)
	f.checkText(name, c.Pattern)
	if given && c.Pattern == "" {
		f.refuse(name, CodeInvalidValue, "%s%s is empty: leave it out", f.path, name)
	}
	return c, given
}

func (f *fields) constrainedByGrammar(name string) (Constraint, bool) {
	c := Constraint{Field: f.path + name}
	_, given := f.get(name)
	f.str(name, MaxGrammarBytes, &c.Grammar)
	f.checkText(name, c.Grammar)
	if given && c.Grammar == "" { // an empty grammar is more likely a mistake than a wish for free text
		f.refuse(name, CodeInvalidValue, "%s%s is empty: leave it out, or give rules with a root", f.path, name)
	}
	return c, given
}

// constrainedBySchema reads a JSON schema, or the text of one.
func (f *fields) constrainedBySchema(name string) (Constraint, bool) {
	raw, given := f.get(name)
	var text string
	if given && json.Unmarshal(raw, &text) == nil {
		if kindOf(json.RawMessage(text)) != "an object" || !json.Valid([]byte(text)) || tooDeep([]byte(text)) {
			f.refuse(name, CodeInvalidValue, "%s%s is not the text of a JSON schema", f.path, name)
			return Constraint{}, false
		}
		f.members[name] = json.RawMessage(text)
	}
	return Constraint{Field: f.path + name, Schema: f.schema(name)}, given
}

// constrainedByChoice reads a list of texts; the answer is one of them.
func (f *fields) constrainedByChoice(name string) (Constraint, bool) {
	elements := f.array(name, 1, maxChoiceTexts)
	texts := make([]string, len(elements))
	for i, element := range elements {
		if json.Unmarshal(element, &texts[i]) != nil || kindOf(element) == "null" {
			f.wrongType(name, element, "an array of strings")
			return Constraint{}, false
		}
		f.checkText(name, texts[i])
		texts[i] = regexp.QuoteMeta(texts[i])
	}
	return Constraint{Field: f.path + name, Pattern: "(" + strings.Join(texts, "|") + ")"}, len(elements) > 0
}

// constrain makes a schema the format of the turn's answers unless the turn has a format. It refuses other constraints
// together with a format or tools.
func (t *Turn) constrain(c *Constraint, f *fields) {
	switch {
	case c.Field == "" || t.Format.Type == FormatText && c.Schema == nil && t.ToolChoice.Mode == ToolsNone:
	case t.Format.Type == FormatText && c.Schema != nil:
		t.Format = ResponseFormat{Type: FormatJSONSchema, Schema: c.Schema, Field: c.Field}
		*c = Constraint{}
	case f.err == nil:
		other := "tools"
		if t.Format.Type != FormatText {
			other = t.Format.Field
		}
		f.err = Invalid(c.Field, CodeInvalidValue, "%s cannot be combined with %s", c.Field, other)
	}
}
