// Package chat renders the messages and tools of a chat as a prompt, and parses the text that the model generates into
// a message.
//
// It contains everything that depends on a model's chat format: the template, and the syntax of tool calls. A grammar forces
// answers into that syntax, and a parser reads them. It is not an engine: prompts and grammars are text, and the caller tokenizes
// them. Package jinja evaluates templates.
//
// # Data flow
//
//	messages, tools -- Template.Prompt --> prompt text
//	turn            -- Template.Grammar -> GBNF grammar that constrains the answer
//	generated text  -- Parser.Feed ------> text and pieces of tool calls
//
// # Concurrency
//
// A Template may be used from several goroutines. A Parser belongs to one answer and one goroutine.
//
// # Errors
//
// The errors of Prompt wrap ErrMessages if the template rejected the messages, which is the client's fault. The errors
// of Grammar are *SchemaError.
package chat
