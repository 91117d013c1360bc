// Package llama is the gomlx graph of a Llama-family decoder: one decoder layer forward and backward, and the head.
//
// It is not an engine: it has no KV cache and generates no text (see infer). It decides nothing about pruning either:
// package prune builds losses and scores on its graphs.
//
// # Data flow
//
// All layers of one width share one compiled program: weights are its arguments. A Model loads the tensors of a
// models.Weights into device buffers (LoadLayer, LoadHead) and runs programs on them (LayerProgram, HeadProgram). A
// program computes one sequence, float32[t, e], padded on the right, or s sequences of equal padded length, one after the
// other, float32[s*t, e]. Attention is causal, so padding changes nothing before it. The caller keeps or drops the hidden
// states between layers, so a run needs the memory of one layer's weights and activations, whatever the depth.
//
// # Letters
//
// Shapes and einsums use one letter per axis:
//
//	t  token (query position)         u  token (key position)
//	e  hidden size                    v  vocabulary
//	k  key-value head                 g  query head within its group; query head = k*groups + g
//	d  element of a head              q  (g, t) flattened: rows of the attention matrix of one key-value head
//	j  (k, g, d) flattened            i  (k, d) flattened
//	f  MLP neuron                     n  any head
//	s  sequence of a batch
//
// # Backward
//
// Every adjoint is written by hand next to its forward function. gomlx's Gradient makes a broadcast multiplication and a sum
// of the adjoint of a matmul, which XLA's CPU backend runs hundreds of times slower than a matmul. The backward pass
// recomputes forward values, except those that a caller keeps and passes to Resume. The tests check each adjoint against
// finite differences.
//
// # StableHLO
//
// gomlx's graphs cannot express matmuls of bfloat16 with float32 results. They are written in XLA's own language
// (Model.CompileStableHLO) for a backend that accepts it.
//
// # Concurrency
//
// A Model and its programs may be used from several goroutines; one Layer or Head must not be released while in use.
//
// # Errors
//
// Graph functions panic with an error on a wrong shape, as gomlx does; every exported function that runs a graph recovers
// and returns the error.
package llama
