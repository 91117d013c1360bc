// Package prune chooses which MLP neurons of a language model to remove, and refits the layers that lose some.
//
// It is not a converter: it knows neither GGUF nor Redis, nor where text comes from. It reads a model through models.Weights and returns scores,
// plans and refitted matrices; package convert writes the slim model.
//
// # Data flow
//
// Score runs token sequences (internal/calibration has them) through the dense model and through a slightly pruned one,
// and gives every neuron an importance. MakePlan turns importances and a ratio into
// the neurons kept; it is pure, so a new ratio costs no gradients. Reconstruct refits each down projection to the neurons
// that stayed. Pruned shows the result as a models.Weights.
//
// # Method
//
// The scores are those of SDMPrune (arXiv 2506.11120), written from its formulas: gradients of a self-distillation loss
// between a model and its slightly pruned self. See docs/understand/pruning.md for what the criteria, budgets and reconstruction are
// worth.
//
// # Concurrency
//
// All functions may be called from several goroutines; one Score or Reconstruct keeps all cores busy. They obey their
// context between layers and sequences.
//
// # Errors
//
// Bad sequences wrap llama.ErrTokens, numbers that are not finite wrap ErrNotFinite and name the layer, ratios that
// cannot be reached are a *RatioError. Panics out of gomlx are returned as errors.
package prune
