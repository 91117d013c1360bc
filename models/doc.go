// Package models reads a language model: its architecture (Config), the roles, names and shapes of its tensors, its
// weights as float32 and its vocabulary. Its subpackage arch is the table of architectures.
//
// It does not run models (see models/llama and infer) and does not write them (see convert).
package models

import "errors"

// ErrNoTensor is wrapped by the errors for a tensor that the model does not have.
var ErrNoTensor = errors.New("no such tensor")

// ErrUnsupported is wrapped by the errors for a model whose architecture or tensor types prunellm cannot prune.
var ErrUnsupported = errors.New("unsupported model")
