// Package models reads a language model: its architecture (Config), the roles, names and shapes of its tensors, its
// weights as float32 and its vocabulary. Package arch below it is the table of architectures.
//
// It is not an engine: it multiplies no matrices (see models/llama and infer) and writes no model (see convert).
package models

import "errors"

// ErrNoTensor is the error that Weights.Tensor wraps for a tensor that the model lacks.
var ErrNoTensor = errors.New("no such tensor")

// ErrUnsupported is the error that a model wraps whose architecture or tensor types prunellm cannot prune.
var ErrUnsupported = errors.New("unsupported model")
