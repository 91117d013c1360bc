// Package recover trains a pruned model to predict like the dense model: recovery by self-distillation. The dense model is the
// teacher, so any text works, even text that it generated itself.
//
// It does not choose neurons (see package prune) and writes no model file (see convert). It keeps its checkpoints in a
// folder that the caller names.
//
// # Data flow
//
// Run splits the sequences into training sequences and a few held-out ones. One step takes one sequence. The student
// runs forward layer by layer and keeps the layer boundaries. The head computes the loss, KL(teacher || student) mixed
// with cross entropy, and the gradient of the last hidden states. Then, from the last layer to the first, each layer
// runs again and computes the gradients of its input and its weights. AdamW updates it at once, so at most one layer's
// gradient exists at a time. The teacher computes its last hidden states once per sequence and keeps them: they are exact, and
// a hundred times smaller than its distributions.
//
// # Clipping
//
// The norm of the whole gradient is known only after all layers, when the last ones are already updated. Each layer is
// therefore clipped by its own norm, to a multiple of that norm's running mean. This needs no absolute setting (compare AdaGC,
// arXiv 2502.11034).
//
// # Determinism
//
// The order of the sequences depends only on the seed and the number of the epoch. The state is therefore weights, moments,
// norms and the step. A training that resumes from its checkpoint gives the same weights as an uninterrupted one, if its limit
// is in tokens and not in time.
//
// # Concurrency
//
// One Run keeps all cores busy. It obeys its context between layers.
//
// # Errors
//
// If the loss is not finite, or far above the initial one, the training ends early without an error. Result reports it
// and has the best weights so far. The package recovers panics of gomlx and returns them as errors.
package recover
