package chat

import (
	"fmt"
	"strings"

	"prunellm/openapi"
)

// maxParallelCalls bounds the tool calls of one answer, because a small model that a grammar forces to write calls may
// never stop.
const maxParallelCalls = 16

// SchemaGrammar converts a JSON schema to GBNF. The first rule is called root. If strict, it returns an error for a
// part of the schema that GBNF cannot express; otherwise it ignores that part.
type SchemaGrammar func(schema []byte, strict bool) (gbnf string, err error)

// SchemaError says which field of a request has a schema that no grammar can enforce.
type SchemaError struct {
	Field string // for example "tools[1]"
	Err   error  // from SchemaGrammar
}

// Error implements error.
func (e *SchemaError) Error() string { return e.Field + ": " + e.Err.Error() }

// Unwrap returns SchemaGrammar's error.
func (e *SchemaError) Unwrap() error { return e.Err }

// Grammar returns the GBNF grammar for the answer to a turn, or "" if the answer needs none. formatField is the name of
// the request's field with the format, for errors. The error is a *SchemaError.
func (t *Template) Grammar(turn *openapi.Turn, schemas SchemaGrammar, formatField string) (string, error) {
	format, err := formatGrammar(schemas, turn.Format, formatField)
	if err != nil || turn.ToolChoice.Mode == openapi.ToolsNone {
		return format, err
	}
	syntax := t.syntax
	calls, err := callsGrammar(schemas, turn, syntax)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	switch {
	case turn.ToolChoice.Mode == openapi.ToolsRequired:
		out.WriteString("root ::= calls\n")
	case format != "":
		out.WriteString("root ::= calls | format-root\n" + prefixed(format, "format-"))
	case syntax.marker == "":
		// Models may write white space first. An answer whose first other character is a brace must be a call.
		out.WriteString("root ::= [ \\t\\n\\r]* (calls | [^{ \\t\\n\\r\\x00] [^\\x00]*)?\n")
	default:
		out.WriteString("root ::= begin\n" + textBefore(syntax.marker, "after-marker") + unmarkedCalls(turn, syntax.marker))
		// After text that ends in a marker, the rest of the first call and further calls follow.
		out.WriteString("after-marker ::= " + literal(strings.TrimPrefix(syntax.open, syntax.marker)) + " call " + literal(syntax.close) + " more\n")
	}
	out.WriteString(calls)
	return out.String(), nil
}

// formatGrammar returns the grammar of a format, or "" for text.
func formatGrammar(schemas SchemaGrammar, format openapi.ResponseFormat, field string) (string, error) {
	schema := []byte(`{"type":"object"}`)
	switch format.Type {
	case openapi.FormatText:
		return "", nil
	case openapi.FormatJSONSchema:
		schema = format.Schema
	}
	grammar, err := schemas(schema, true)
	if err != nil {
		return "", &SchemaError{Field: field, Err: err}
	}
	return grammar, nil
}

// callsGrammar returns the rules calls (one or several calls), more (what may follow a call) and call.
func callsGrammar(schemas SchemaGrammar, turn *openapi.Turn, syntax syntax) (string, error) {
	var out strings.Builder
	var names []string
	for i, tool := range turn.Tools {
		if turn.ToolChoice.Name != "" && tool.Name != turn.ToolChoice.Name {
			continue
		}
		grammar, err := argumentsGrammar(schemas, tool)
		if err != nil {
			return "", &SchemaError{Field: fmt.Sprintf("tools[%d]", i), Err: err}
		}
		prefix := fmt.Sprintf("arguments-%d-", i)
		name := fmt.Sprintf("call-%d", i)
		names = append(names, name)
		head := fmt.Sprintf(`{"name": %q, %q: `, tool.Name, syntax.arguments)
		fmt.Fprintf(&out, "%s ::= %s %sroot \"}\"\n%s", name, literal(head), prefix, prefixed(grammar, prefix))
	}
	more := `""` // as with OpenAI, a function that the client names is called exactly once
	if turn.ParallelToolCalls && turn.ToolChoice.Name == "" && syntax.marker != "" {
		more = fmt.Sprintf("(%s call %s){0,%d}", literal("\n"+syntax.open), literal(syntax.close), maxParallelCalls-1)
	}
	fmt.Fprintf(&out, "calls ::= %s call %s more\n", literal(syntax.open), literal(syntax.close))
	fmt.Fprintf(&out, "more ::= %s\ncall ::= %s\n", more, strings.Join(names, " | "))
	return out.String(), nil
}

// argumentsGrammar returns the grammar for the arguments of a call. For a tool that is not strict it ignores the parts
// of the schema that no grammar can enforce. Arguments are always an object, even if the schema allows any value,
// because clients give functions without parameters an empty schema and still expect an object.
func argumentsGrammar(schemas SchemaGrammar, tool openapi.Tool) (string, error) {
	if tool.Parameters != nil {
		grammar, err := schemas(tool.Parameters, tool.Strict)
		if err != nil {
			return "", err
		}
		if anything, err := schemas([]byte(`{}`), true); err != nil || grammar != anything {
			return grammar, err
		}
	}
	return schemas([]byte(`{"type":"object"}`), true)
}

// textBefore returns the rules text-0, text-1 and so on. They are the states of an automaton that reads text up to the
// first marker, then continues with rule after. The text may also end without a marker.
func textBefore(marker, after string) string {
	var out strings.Builder
	for state := range len(marker) {
		var seen strings.Builder
		fmt.Fprintf(&out, "text-%d ::= \"\"", state)
		for _, c := range distinct(marker) {
			next := longestBorder(marker, marker[:state]+string(c))
			if next == 0 {
				continue
			}
			seen.WriteRune(c)
			target := fmt.Sprintf("text-%d", next)
			if next == len(marker) {
				target = after
			}
			fmt.Fprintf(&out, " | %s %s", literal(string(c)), target)
		}
		fmt.Fprintf(&out, " | [^%s\\x00] text-0\n", seen.String())
	}
	return out.String()
}

// longestBorder returns the length of the longest prefix of marker that is a suffix of text.
func longestBorder(marker, text string) int {
	for n := min(len(marker), len(text)); n > 0; n-- {
		if strings.HasSuffix(text, marker[:n]) {
			return n
		}
	}
	return 0
}

func distinct(text string) []rune {
	var out []rune
	for _, c := range text {
		if !strings.ContainsRune(string(out), c) {
			out = append(out, c)
		}
	}
	return out
}

// literal returns text as a GBNF string literal.
func literal(text string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\r", `\r`, "\t", `\t`).Replace(text) + `"`
}

// prefixed adds prefix to the name of every rule of a grammar, so that several grammars can be combined.
func prefixed(grammar, prefix string) string {
	var out strings.Builder
	for i := 0; i < len(grammar); {
		c := grammar[i]
		end := i + 1
		switch {
		case c == '"' || c == '[':
			closing := byte('"')
			if c == '[' {
				closing = ']'
			}
			for end < len(grammar) && grammar[end] != closing {
				if grammar[end] == '\\' {
					end++
				}
				end++
			}
			end = min(end+1, len(grammar))
		case c == '#':
			for end < len(grammar) && grammar[end] != '\n' {
				end++
			}
		case c == '{': // braces of a repetition contain only numbers
			for end < len(grammar) && grammar[end-1] != '}' {
				end++
			}
		case ruleByte(c):
			for end < len(grammar) && ruleByte(grammar[end]) {
				end++
			}
			out.WriteString(prefix)
		}
		out.WriteString(grammar[i:end])
		i = end
	}
	if !strings.HasSuffix(grammar, "\n") {
		out.WriteByte('\n')
	}
	return out.String()
}

func ruleByte(c byte) bool {
	return c == '-' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_'
}
