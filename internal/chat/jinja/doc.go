// Package jinja turns the messages of a chat into a prompt by a model's own Jinja template, as transformers does.
//
// It is not a Jinja engine: gonja is, and this package gives it the settings, functions and filters that templates of
// language models expect, and takes away what they have no use for. Templates come with model files, which may be
// hostile, so a template gets no files, no other templates, and bounded steps, depth, time and memory.
//
// # Data flow
//
// New checks the source (size, nesting, operators, chains of methods), lets gonja parse it, and puts a step of a budget
// into every loop, condition, macro, assignment and filter on the way (guard.go). Render gives the template messages, tools and special tokens as plain maps, lists and
// strings, and collects the output up to a limit.
//
// # Concurrency
//
// A Template may be rendered from several goroutines.
//
// # Errors
//
// *RaisedError when the template itself refused the messages (raise_exception), *LimitError when it went beyond its
// budget, otherwise an error that tells line and reason. A panic in gonja becomes an error.
package jinja
