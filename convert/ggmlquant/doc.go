// Package ggmlquant quantizes float32 values to ggml's block formats and dequantizes them. It calls ggml's own code, so
// the bytes equal llama.cpp's.
//
// ggml checks little, and a failed check aborts the process. The package therefore first checks the type, the block
// size, the buffer length and that all values are finite. It needs cgo; models/gguf describes the layout of the formats
// without it.
//
// # Concurrency
//
// Both functions may be called from several goroutines. For large inputs they use several threads themselves.
package ggmlquant
