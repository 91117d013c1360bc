// Package gbnf constrains a text to a grammar during generation. It parses grammars in llama.cpp's notation (GBNF), and
// reports which bytes and which tokens of a vocabulary may come next. It also converts JSON schemas to such grammars.
//
// It does not depend on models or samplers; package infer calls it for each token.
//
// # Why llama.cpp's matcher is not used
//
// Grammars come from requests. llama.cpp's matcher keeps a separate stack for every parse of the text so far. There can be
// exponentially many: s ::= "x" | "x" s "y" | "x" s "z" doubles them with each x. A nullable recursion overflows the C stack,
// and a repetition of repetitions exhausts memory. Each of these ends the process or stalls it for all clients.
//
// In this package the parses share their stacks in a graph (Tomita's, as in GLL parsing: Scott and Johnstone, "GLL Parsing",
// 2010). A byte costs at most the size of the grammar times the length of the text, and a budget bounds the cost of one token.
//
// # Limits
//
// The constants in limits.go bound a grammar, a schema and their nesting. The parsers check them before they allocate
// anything large. automaton.go has the bounds of the automaton for strings with several restrictions.
//
// # Concurrency
//
// A Grammar and a Vocabulary are immutable. A Matcher belongs to one goroutine at a time.
package gbnf
