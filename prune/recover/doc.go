// Package recover trains a pruned model to predict like the dense model: recovery by self-distillation. The dense model
// is the teacher, so any text will do, its own included.
//
// It does not choose neurons (see package prune) and writes no model file (see convert). It keeps its checkpoints in a
// folder that the caller names.
//
// # Data flow
//
// Run splits the sequences into those to train on and a few held-out ones. One step takes one sequence. The student
// runs forward layer by layer and keeps the layer boundaries. The head computes the loss, KL(teacher || student) mixed
// with cross entropy, and the gradient of the last hidden states. Then each layer, from the last to the first, runs
// again, computes the gradients of its input and of its weights from that of its result, and is updated at once by
// AdamW. So at most one layer's gradient exists at a time. The teacher's last hidden states are computed once for each
// sequence and kept: exact, and a hundred times smaller than its distributions.
//
// # Clipping
//
// The norm of the whole gradient is known only after all layers, when the last ones are already updated. So each layer
// is clipped by itself: to a multiple of the running mean of its own norm, which needs no absolute setting (compare
// AdaGC, arXiv 2502.11034).
//
// # Determinism
//
// The order of the sequences follows from the seed and the number of the epoch, so the state is weights, moments, norms
// and the step. A training resumed from its checkpoint gives the same weights as an uninterrupted one, if its limit is
// in tokens and not in time.
//
// # Concurrency
//
// One Run keeps all cores busy. It obeys its context between layers.
//
// # Errors
//
// A loss that is not finite, or far above the initial one, ends the training early and is no error: Result reports it
// and holds the best weights seen. The package recovers panics of gomlx and returns them as errors.
package recover
