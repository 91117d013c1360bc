// Package llamacpp runs a GGUF model through llama.cpp: it implements infer.Decoder on github.com/ollama/ollama/llama and
// the few C calls which that package lacks.
//
// It is not an engine (see infer): it neither queues nor samples. It is not a parser either: a file that comes from
// outside is checked before it is opened here.
//
// # Safety
//
// llama.cpp ends the process on a broken precondition. Every such precondition that a caller can reach is checked in Go
// first and comes back as an error: batch size, token and sequence range, positions, logits that were not asked for,
// partial copies of a sequence, pieces outside the vocabulary, text with NUL or invalid UTF-8, the memory a context
// takes. Should llama.cpp abort all the same, the process ends with one line that names the reason.
//
// # Concurrency
//
// Decode, Logits and everything named Sequence belong to one goroutine at a time. Tokenize, Piece and the descriptive methods
// may be called from any goroutine. The models of a process compute on one OS thread, in turns: see compute.go.
//
// # Ownership
//
// A Model owns one llama_model, one llama_context and one llama_batch. Close frees them in the reverse order. The context
// is created without embeddings, with one cache stream per sequence: what a sequence computes then does not depend on
// the others in the batch.
package llamacpp
