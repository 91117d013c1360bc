// Package gbnf holds a text to a grammar while it is generated: it parses grammars in llama.cpp's notation (GBNF), says
// which bytes may come next, and which tokens of a vocabulary fit. It also turns JSON schemas into such grammars.
//
// It knows no model and no sampler: package infer asks it about tokens.
//
// # Why not llama.cpp's own
//
// Grammars come from requests. llama.cpp's matcher keeps every way to read the text so far as a stack of its own; there
// can be exponentially many ("s ::= "x" | "x" s "y" | "x" s "z"" doubles them with each x), a nullable recursion overflows
// the C stack, and a repetition of repetitions takes all memory: each ends the process or stops it for everybody. Here
// the readings share their stacks in a graph (Tomita's, as in GLL parsing: Scott and Johnstone, "GLL Parsing", 2010), so
// that a byte costs at most the size of the grammar times the length of the text, and a budget bounds what one token may cost.
//
// # Limits
//
// A grammar, a schema and their nesting are bounded by the constants in limits.go, checked before anything large is made. Strings
// with several restrictions are written from an automaton, whose bounds stand in automaton.go.
//
// # Concurrency
//
// A Grammar and a Vocabulary are immutable. A Matcher belongs to one goroutine at a time.
package gbnf
