// Package ggmlquant turns float32 values into ggml's block formats and back, with ggml's own code, so that the bytes
// are those that llama.cpp makes and understands.
//
// ggml checks little and aborts the process where it does: everything it takes on trust (type, block size, buffer
// length, finite values) is checked here first. It needs cgo; the layout of the formats, which needs none, is
// models/gguf's.
//
// # Concurrency
//
// Both functions may be called from several goroutines and use several threads themselves for large inputs.
package ggmlquant
