package openapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// MaxDepth is how deep the objects and arrays of a request may nest.
const MaxDepth = 64

// fields reads the members of one JSON object by exact name. A member that is absent or null keeps its default. After
// the first error, which stays in err, later calls do nothing, so that a decoder reads as a list of fields.
type fields struct {
	members map[string]json.RawMessage
	path    string // prefix of a field's name in Param: "" or "messages[2]."
	err     *Error
}

// parseBody checks that body is one JSON object in UTF-8, nested at most MaxDepth levels, and splits it into its
// members.
func parseBody(body []byte) *fields {
	f := &fields{}
	switch {
	case len(bytes.TrimSpace(body)) == 0:
		f.err = Invalid("", CodeInvalidJSON, "the request body is empty; send a JSON object")
	case !utf8.Valid(body):
		f.err = Invalid("", CodeInvalidJSON, "the request body is not valid UTF-8")
	case tooDeep(body):
		f.err = Invalid("", CodeInvalidJSON, "the request body nests deeper than %d levels", MaxDepth)
	default:
		f.err = f.parse(body)
	}
	return f
}

// parse splits an object into its members. Of members with the same name the last one counts.
func (f *fields) parse(object []byte) *Error {
	err := json.Unmarshal(object, &f.members)
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &syntax):
		return Invalid("", CodeInvalidJSON, "the request body is not valid JSON: %s at byte %d", syntax, syntax.Offset)
	case err != nil || f.members == nil:
		param := strings.TrimSuffix(f.path, ".")
		return Invalid(param, CodeInvalidType, "%s is %s but must be an object", orBody(param), kindOf(object))
	}
	return nil
}

// tooDeep counts brackets outside strings. It allocates nothing, so it may run before any parser.
func tooDeep(body []byte) bool {
	depth, inString := 0, false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			if depth++; depth > MaxDepth {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}

func orBody(param string) string {
	if param == "" {
		return "the request body"
	}
	return param
}

// kindOf returns the type of a JSON value in words for messages.
func kindOf(raw json.RawMessage) string {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 {
		return "nothing"
	}
	switch raw[0] {
	case '{':
		return "an object"
	case '[':
		return "an array"
	case '"':
		return "a string"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	}
	return "a number"
}

// get returns a member unless it is absent or null.
func (f *fields) get(name string) (json.RawMessage, bool) {
	if f.err != nil {
		return nil, false
	}
	raw, ok := f.members[name]
	return raw, ok && kindOf(raw) != "null"
}

func (f *fields) refuse(name, code, format string, args ...any) {
	if f.err == nil {
		f.err = Invalid(f.path+name, code, format, args...)
	}
}

func (f *fields) wrongType(name string, raw json.RawMessage, expected string) {
	f.refuse(name, CodeInvalidType, "%s%s is %s but must be %s", f.path, name, kindOf(raw), expected)
}

// require refuses an object that lacks the member.
func (f *fields) require(name string) {
	if _, ok := f.get(name); !ok && f.err == nil {
		f.refuse(name, CodeMissing, "%s%s is missing", f.path, name)
	}
}

// only refuses a known field that is not supported, unless its value has no effect.
func (f *fields) only(name, why string, accepted ...string) {
	raw, ok := f.get(name)
	if !ok {
		return
	}
	var compact bytes.Buffer
	if json.Compact(&compact, raw) == nil && slices.Contains(accepted, compact.String()) {
		return
	}
	f.refuse(name, CodeUnsupported, "%s%s is not supported: %s", f.path, name, why)
}

func (f *fields) boolean(name string, into *bool) {
	raw, ok := f.get(name)
	if ok && json.Unmarshal(raw, into) != nil {
		f.wrongType(name, raw, "a boolean")
	}
}

// str reads a string of at most maxBytes.
func (f *fields) str(name string, maxBytes int, into *string) {
	raw, ok := f.get(name)
	if !ok {
		return
	}
	if json.Unmarshal(raw, into) != nil {
		f.wrongType(name, raw, "a string")
		return
	}
	if len(*into) > maxBytes {
		f.refuse(name, CodeInvalidValue, "%s%s has %d bytes; the limit is %d", f.path, name, len(*into), maxBytes)
	}
}

// text reads a string for the tokenizer, which must not contain NUL.
func (f *fields) text(name string, into *string) {
	f.str(name, math.MaxInt, into)
	f.checkText(name, *into)
}

func (f *fields) checkText(name, text string) {
	if strings.IndexByte(text, 0) >= 0 {
		f.refuse(name, CodeInvalidValue, "%s%s contains a NUL character", f.path, name)
	}
}

func (f *fields) number(name string, least, most float64, into *float64) {
	raw, ok := f.get(name)
	if !ok {
		return
	}
	if json.Unmarshal(raw, into) != nil {
		f.wrongType(name, raw, "a number that fits 64 bits")
		return
	}
	if !(*into >= least && *into <= most) {
		f.refuse(name, CodeInvalidValue, "%s%s is %g but must be from %g to %g", f.path, name, *into, least, most)
	}
}

func (f *fields) integer(name string, least, most int64, into *int64) {
	raw, ok := f.get(name)
	if !ok {
		return
	}
	value, ok := parseInteger(raw)
	if !ok {
		f.wrongType(name, raw, "an integer of 64 bits")
		return
	}
	if value < least || value > most {
		f.refuse(name, CodeInvalidValue, "%s%s is %d but must be from %d to %d", f.path, name, value, least, most)
		return
	}
	*into = value
}

// count reads an integer into an int.
func (f *fields) count(name string, least, most int, into *int) {
	value := int64(*into)
	f.integer(name, int64(least), int64(most), &value)
	*into = int(value)
}

// parseInteger accepts integers, and floats without a fraction up to 2^53, because JSON does not distinguish 1 from
// 1.0.
func parseInteger(raw json.RawMessage) (int64, bool) {
	text := string(bytes.TrimSpace(raw))
	if value, err := strconv.ParseInt(text, 10, 64); err == nil {
		return value, true
	}
	if kindOf(raw) != "a number" {
		return 0, false
	}
	value, err := strconv.ParseFloat(text, 64)
	if err != nil || value != math.Trunc(value) || math.Abs(value) > 1<<53 {
		return 0, false
	}
	return int64(value), true
}

// array splits an array of least to most elements.
func (f *fields) array(name string, least, most int) []json.RawMessage {
	raw, ok := f.get(name)
	if !ok {
		return nil
	}
	if kindOf(raw) != "an array" {
		f.wrongType(name, raw, "an array")
		return nil
	}
	var elements []json.RawMessage
	if err := json.Unmarshal(raw, &elements); err != nil {
		f.wrongType(name, raw, "an array")
		return nil
	}
	if len(elements) < least || len(elements) > most {
		f.refuse(name, CodeInvalidValue, "%s%s has %d elements but must have %d to %d", f.path, name, len(elements), least, most)
		return nil
	}
	return elements
}

// tokens reads an array of token ids. The server checks them against the vocabulary.
func (f *fields) tokens(name string, raw json.RawMessage) []int {
	var ids []int32
	// encoding/json would read a null element as 0.
	if json.Unmarshal(raw, &ids) != nil || bytes.Contains(raw, []byte("null")) {
		f.refuse(name, CodeInvalidType, "%s%s must be an array of token ids, which are integers of 32 bits", f.path, name)
		return nil
	}
	out := make([]int, len(ids))
	for i, id := range ids {
		if id < 0 {
			f.refuse(name, CodeInvalidValue, "%s%s[%d] is %d but a token id must not be negative", f.path, name, i, id)
			return nil
		}
		out[i] = int(id)
	}
	return out
}

// object opens a member that is itself an object. It returns false if the member is absent or invalid.
func (f *fields) object(name string) (*fields, bool) {
	raw, ok := f.get(name)
	if !ok {
		return nil, false
	}
	inner := &fields{path: f.path + name + "."}
	if f.err = inner.parse(raw); f.err != nil {
		return nil, false
	}
	return inner, true
}
