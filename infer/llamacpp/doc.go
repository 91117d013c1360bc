// Package llamacpp runs a GGUF model with llama.cpp. It implements infer.Decoder on github.com/ollama/ollama/llama and a few C
// calls that the module lacks.
//
// It is not an engine (see infer): it neither queues nor samples. It does not check whether a file can be trusted: callers
// check it before they open it here.
//
// # Safety
//
// llama.cpp ends the process if a precondition does not hold. This package checks every precondition that a caller can violate,
// and returns an error. It checks batch sizes, tokens, sequences and positions, requests for logits, partial copies of a
// sequence, text with NUL or invalid UTF-8, and the memory of a context. If llama.cpp still aborts, the process ends with one
// line that names the reason.
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
