// Package convert writes a slim model. Slim takes a dense model, the neurons that a plan keeps and a file type, and
// writes a GGUF file that llama.cpp loads. Inspect and Check look for faults in a file.
//
// It does not choose neurons (see prune). It needs no cgo, because the caller passes a Codec for the block formats.
//
// # Data flow
//
// Slim copies the source's metadata with new widths and provenance, then the tensors in the source's order. It works in
// chunks of rows: it reads, gathers and converts them on all cores and writes them in order. Memory therefore does not
// grow with the model. Rows of gate and up are copied byte for byte if their type stays the same; columns of down are
// decoded, gathered and encoded. A tensor that loses nothing and keeps its type is copied byte for byte, so a ratio of
// zero changes no weight.
//
// # Errors
//
// Slim writes the output completely or not at all. It returns an error that wraps models.ErrUnsupported for widths that
// the architecture does not allow.
package convert
