package gbnf

import "fmt"

// Limits of accepted grammars and schemas.
const (
	MaxGrammarBytes = 1 << 18
	MaxSchemaBytes  = 1 << 17
	maxRules        = 1 << 13
	maxNodes        = 1 << 17 // of the compiled grammar, with repetitions expanded
	maxNesting      = 64      // of brackets in a grammar, of values in a schema
	maxRepetitions  = 1 << 14
)

// Error is the reason why Parse or FromSchema refused a grammar or a schema.
type Error struct {
	Where  string // "line 3", or a path in the schema such as "#/properties/name"
	Reason string
}

// Error implements error.
func (e *Error) Error() string { return e.Where + ": " + e.Reason }

func errorf(where, format string, args ...any) *Error {
	return &Error{Where: where, Reason: fmt.Sprintf(format, args...)}
}
