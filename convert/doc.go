// Package convert turns a dense model into a slim one: it takes the neurons that a plan keeps and a file type, and
// writes a GGUF file that llama.cpp loads. It also inspects files.
//
// It decides no neuron (see prune) and holds no cgo: the block formats come in through a Codec.
//
// # Data flow
//
// Slim copies the source's metadata with the widths and the provenance changed, then goes through the tensors in the
// source's order. Each is cut into runs of rows that are read, gathered, converted on all cores and written in order,
// so memory does not grow with the model. Rows of gate and up are copied byte for byte when their type stays; columns
// of down are decoded, gathered and encoded again. A tensor from which nothing is taken and whose type stays is copied
// byte for byte, so a ratio of zero is the identity.
//
// # Errors
//
// Nothing is left behind by a call that fails: the output appears whole or not at all. A model that cannot be written
// with these widths gives an error that wraps models.ErrUnsupported.
package convert
