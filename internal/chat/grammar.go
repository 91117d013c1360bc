package chat

import (
	"fmt"
	"strings"

	"prunellm/openapi"
)

// maxParallelCalls bounds the calls of one answer: under a grammar a small model may never stop.
const maxParallelCalls = 16

// SchemaGrammar makes GBNF of a JSON schema, its first rule called root, or says why it cannot. Unless strict, it leaves
// out what it cannot express.
type SchemaGrammar func(schema []byte, strict bool) (gbnf string, err error)

// SchemaError says which field of a request has a schema that answers cannot be held to.
type SchemaError struct {
	Field string // such as "tools[1]"
	Err   error  // from SchemaGrammar
}

// Error implements error.
func (e *SchemaError) Error() string { return e.Field + ": " + e.Err.Error() }

// Unwrap returns SchemaGrammar's error.
func (e *SchemaError) Unwrap() error { return e.Err }

// Grammar returns the GBNF that the answer to a turn is held to; empty: none is needed. formatField is the request's name
// of the turn's format. The error is a *SchemaError.
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
		// White space may come first, as models have it; a brace behind it begins a call as one without it does.
		out.WriteString("root ::= [ \\t\\n\\r]* (calls | [^{ \\t\\n\\r\\x00] [^\\x00]*)?\n")
	default:
		out.WriteString("root ::= begin\n" + textBefore(syntax.marker, "after-marker") + unmarkedCalls(turn, syntax.marker))
		// Where text ends in a marker, the rest of the first call and its followers come.
		out.WriteString("after-marker ::= " + literal(strings.TrimPrefix(syntax.open, syntax.marker)) + " call " + literal(syntax.close) + " more\n")
	}
	out.WriteString(calls)
	return out.String(), nil
}

// formatGrammar returns the grammar of a format, empty for text.
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

// callsGrammar has the rules calls (one call or several), more (what may follow a call) and call.
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
	more := `""` // a function that the client named is called exactly once, as OpenAI's
	if turn.ParallelToolCalls && turn.ToolChoice.Name == "" && syntax.marker != "" {
		more = fmt.Sprintf("(%s call %s){0,%d}", literal("\n"+syntax.open), literal(syntax.close), maxParallelCalls-1)
	}
	fmt.Fprintf(&out, "calls ::= %s call %s more\n", literal(syntax.open), literal(syntax.close))
	fmt.Fprintf(&out, "more ::= %s\ncall ::= %s\n", more, strings.Join(names, " | "))
	return out.String(), nil
}

// argumentsGrammar holds the arguments of a call to their schema; a tool that is not strict to what of it can be held.
// They are an object also where it allows any value: clients give an empty schema to functions without parameters, and
// read the arguments as an object.
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

// textBefore returns rules text-0, text-1 and so on: the states of a machine that reads text up to the first marker and
// continues with rule after. The text may end anywhere else.
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

// longestBorder is the length of the longest beginning of marker that text ends with.
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

// literal writes a text as a GBNF string; "" for an empty one.
func literal(text string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\r", `\r`, "\t", `\t`).Replace(text) + `"`
}

// prefixed puts prefix in front of every rule's name in a grammar, so that several can stand together.
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
		case c == '{': // a repetition holds numbers alone
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
