// Package llamacpp runs a GGUF model through llama.cpp: it implements infer.Decoder on github.com/ollama/ollama/llama
// and the few C calls that the module lacks.
//
// It is not an engine (see infer): it neither queues nor samples. It is not a parser either: callers check a file from
// outside before they open it here.
//
// # Safety
//
// llama.cpp ends the process on a broken precondition. This package checks in Go every such precondition that a caller
// can reach, and returns an error: batch size, token and sequence range, positions, logits that were not requested,
// partial copies of a sequence, pieces outside the vocabulary, text with NUL or invalid UTF-8, the memory of a context.
// If llama.cpp aborts all the same, the process ends with one line that names the reason.
//
// # Concurrency
//
// Decode, Logits and all methods named Sequence belong to one goroutine at a time. Tokenize, Piece and the descriptive
// methods may be called from any goroutine. The models of a process compute one after another on one OS thread: see
// compute.go.
//
// # Ownership
//
// A Model owns one llama_model, one llama_context and one llama_batch. Close frees them in the reverse order. The
// context has no embeddings and one cache stream per sequence: the results of a sequence then do not depend on the
// others in the batch.
package llamacpp
