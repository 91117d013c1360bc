// Package jinja renders chat templates as Python's Jinja2 does, set up as the transformers library sets it up.
//
// It evaluates the language in full but for templates that load others, and knows the filters, tests and methods that
// make sense for text. Values have Python's types, and what Jinja2 or Python refuse is an error here too. Templates come
// with model files, which may be hostile: a template reaches no file and no other template, and the steps, depth, time
// and memory of a rendering are bounded (budget.go).
//
// # Data flow
//
//	source -- lexer --> tokens -- parser --> statements and expressions -- renderer, scope --> text
//
// Every statement and expression costs a step of the budget, and every text that is made or searched its bytes.
//
// # Concurrency
//
// A Template may be rendered from several goroutines.
//
// # Errors
//
// *RaisedError when the template itself refused the messages (raise_exception), *LimitError when it went beyond its
// budget, *UndefinedError when it used what is not there; otherwise an error that tells line and reason.
package jinja
