// Package recover trains a pruned model to predict what the dense model predicts: recovery by self-distillation. The
// dense model is the teacher, so any text will do, its own included.
//
// It decides nothing about which neurons go (see package prune) and writes no model file (see convert). It keeps its
// checkpoints in a folder that it is given.
//
// # Data flow
//
// Run cuts the sequences into those that are trained on and a few that are held out. One step takes one sequence: the
// student runs forward layer by layer and the layer boundaries are kept; the head gives the loss, KL(teacher ||
// student) mixed with cross entropy, and the gradient of the last hidden states; then one layer after another, from the
// last to the first, is run again, turns the gradient of its result into those of its input and of its weights, and
// is updated at once by AdamW. So there is never a gradient of more than one layer. The teacher's last hidden states are
// computed once for each sequence and kept: exact, and a hundred times smaller than its distributions.
//
// # Clipping
//
// The norm of the whole gradient is known only after all layers were passed, when the last ones have been updated
// already. Each layer is therefore clipped by itself: to a multiple of the running mean of its own norm, which needs no
// absolute setting (compare AdaGC, arXiv 2502.11034).
//
// # Determinism
//
// The order of the sequences follows from the seed and the number of the epoch, so the state is weights, moments, norms and
// the step. A run that was interrupted and resumed from its checkpoint gives the same weights as one that was not, as
// long as its end is given in tokens and not in time.
//
// # Concurrency
//
// One Run keeps all cores busy. It obeys its context between layers.
//
// # Errors
//
// A loss that is not finite, or far above where it began, ends the training early and is no error: Result says so and
// carries the best weights seen. Panics out of gomlx are returned as errors.
package recover
