// Package ggmlquant quantizes float32 values to ggml's block formats and dequantizes them, with ggml's own code, so that
// the bytes equal llama.cpp's.
//
// ggml checks little, and a failed check aborts the process. The package therefore checks type, block size, buffer length
// and finite values first. It needs cgo; models/gguf has the layout of the formats without it.
//
// # Concurrency
//
// Both functions may be called from several goroutines and use several threads themselves for large inputs.
package ggmlquant
