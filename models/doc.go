// Package models knows what a language model is made of: its architecture, the roles and names of its tensors, where
// its weights come from and how its chat template turns messages into a prompt.
//
// It is not an engine: nothing here multiplies matrices (see models/llama and infer) and nothing here writes a model
// (see convert).
package models

import "errors"

// ErrNoTensor is wrapped by Weights.Tensor when the model has no such tensor.
var ErrNoTensor = errors.New("no such tensor")

// ErrUnsupported is wrapped when a model's architecture or tensor type is one that prunellm cannot prune.
var ErrUnsupported = errors.New("unsupported model")
