// Package jinja renders chat templates like Python's Jinja2 with the settings of the transformers library.
//
// It supports the whole language except templates that load other templates, and the filters, tests and methods that
// make sense for text. Values have Python's types. An expression that Jinja2 or Python rejects is an error here too.
// Templates come with model files, which may be hostile. A template therefore cannot read files or other templates, and
// the steps, depth, time and memory of a rendering are bounded (budget.go).
//
// # Data flow
//
//	source -- lexer --> tokens -- parser --> statements and expressions -- renderer, scope --> text
//
// Every statement and expression costs a step of the budget. Every text that is created or searched costs its bytes.
//
// # Concurrency
//
// A Template may be rendered from several goroutines.
//
// # Errors
//
// Render returns a *RaisedError if the template itself rejects the messages (raise_exception), a *LimitError if it
// exceeds its budget, and an *UndefinedError if it uses an undefined value. Other errors give the line and the reason.
package jinja
