// Package gbnf constrains a text to a grammar during generation: it parses grammars in llama.cpp's notation (GBNF) and
// reports which bytes may come next and which tokens of a vocabulary fit. It also converts JSON schemas to such
// grammars.
//
// It does not depend on models or samplers: package infer asks it about tokens.
//
// # Why llama.cpp's matcher is not used
//
// Grammars come from requests. llama.cpp's matcher keeps every way to read the text so far as a separate stack; there
// can be exponentially many ("s ::= "x" | "x" s "y" | "x" s "z"" doubles them with each x), a nullable recursion
// overflows the C stack, and a repetition of repetitions takes all memory. Each of these ends the process or stalls it
// for all clients. Here the readings share their stacks in a graph (Tomita's, as in GLL parsing: Scott and Johnstone,
// "GLL Parsing", 2010), so that a byte costs at most the size of the grammar times the length of the text, and a budget
// bounds the cost of one token.
//
// # Limits
//
// The constants in limits.go bound a grammar, a schema and their nesting. The parsers check them before they allocate
// anything large. An automaton writes strings with several restrictions; automaton.go holds its bounds.
//
// # Concurrency
//
// A Grammar and a Vocabulary are immutable. A Matcher belongs to one goroutine at a time.
package gbnf
