// Package convert writes a slim model: it takes a dense model, the neurons that a plan keeps and a file type, and writes a
// GGUF file that llama.cpp loads. It also inspects files.
//
// It selects no neurons (see prune) and needs no cgo: a Codec brings the block formats.
//
// # Data flow
//
// Slim copies the source's metadata with new widths and provenance, then the tensors in the source's order. It splits each
// tensor into runs of rows that it reads, gathers, converts on all cores and writes in order, so memory does not grow with
// the model. It copies rows of gate and up byte for byte when their type stays, and decodes, gathers and encodes columns of
// down. A tensor that loses nothing and keeps its type is copied byte for byte, so a ratio of zero is the identity.
//
// # Errors
//
// A call that fails leaves no file behind: the output appears whole or not at all. Widths that the architecture does not
// allow give an error that wraps models.ErrUnsupported.
package convert
