// Package prune chooses which MLP neurons of a language model to remove, and refits the layers that lose some.
//
// It is not a converter: it does not depend on GGUF, Redis or the source of text. It reads a model through
// models.Weights and returns scores, plans and refitted matrices; package convert writes the slim model.
//
// # Data flow
//
// Score runs token sequences (see internal/calibration) through the dense model and through a slightly pruned one, and
// gives every neuron an importance. MakePlan computes the neurons to keep from importances and a ratio. It is pure, so a new
// ratio needs no gradients. Reconstruct refits each down projection to the kept neurons. Pruned returns the result as a
// models.Weights.
//
// # Method
//
// The scores are those of SDMPrune (arXiv 2506.11120), written from its formulas: gradients of a self-distillation loss
// between a model and its slightly pruned self. docs/understand/pruning.md measures the criteria, budgets and the
// refit.
//
// # Concurrency
//
// All functions may be called from several goroutines; one Score or Reconstruct keeps all cores busy. They obey their
// context between layers and sequences.
//
// # Errors
//
// Bad sequences wrap llama.ErrTokens. NaN or infinity wraps ErrNotFinite and names the layer. A ratio out of reach is a
// *RatioError. The package recovers panics of gomlx and returns them as errors.
package prune
