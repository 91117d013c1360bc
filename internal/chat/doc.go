// Package chat turns a chat's messages and tools into a prompt, and the text that a model generates back into a message.
//
// It holds all that depends on how one model's chats are written: its template, its syntax of tool calls, the grammar
// that holds answers to it and the parser that reads them. It is not an engine: prompts and grammars are text, and a
// caller turns them into tokens. Package jinja evaluates templates.
//
// # Data flow
//
//	messages, tools -- Template.Prompt --> prompt text
//	turn            -- Template.Grammar -> GBNF text that the answer is held to
//	generated text  -- Parser.Feed ------> text and pieces of tool calls
//
// # Concurrency
//
// A Template may be used from several goroutines. A Parser belongs to one answer and one goroutine.
//
// # Errors
//
// Prompt's errors wrap ErrMessages: the template refused the messages, which come from the client. Grammar's are
// *SchemaError.
package chat
