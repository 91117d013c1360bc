// Package llama is the gomlx graph of a Llama-family decoder: one decoder layer forward and backward, and the head.
//
// It is not an engine: it keeps no key-value cache and generates no text (see infer). It decides nothing about pruning
// either; package prune builds losses and scores on the graphs made here.
//
// # Data flow
//
// All layers of one width share one compiled program: weights are its arguments. A Model turns the tensors of a
// models.Weights into device buffers (LoadLayer, LoadHead) and runs programs on them (LayerProgram, HeadProgram). A
// program works on one sequence, float32[t, e], padded on the right: attention is causal, so padding changes nothing
// before it; or on s sequences of equal padded length, one after the other, float32[s*t, e]. Between layers the hidden
// states are ordinary tensors that the caller keeps or drops, so the memory needed is one layer's weights and
// activations, whatever the depth.
//
// # Letters
//
// Shapes and einsums use one letter an axis:
//
//	t  token (query position)         u  token (key position)
//	e  hidden size                    v  vocabulary
//	k  key-value head                 g  query head within its group; query head = k*groups + g
//	d  element of a head              q  (g, t) flattened: rows of the attention matrix of one key-value head
//	j  (k, g, d) flattened            i  (k, d) flattened
//	f  MLP neuron                     n  any head
//	s  sequence, where several run together
//
// # Backward
//
// Every adjoint is written by hand next to its forward function. gomlx's Gradient turns the adjoint of a matrix product
// into a broadcast multiplication and a sum, which XLA's CPU backend runs hundreds of times slower than a product.
// Forward values are recomputed rather than kept, but for those that a caller keeps and hands to Resume. The tests check
// each adjoint against finite differences.
//
// # StableHLO
//
// What gomlx's graphs have no word for, products of bfloat16 whose results are float32, is written in XLA's own language
// (Model.CompileStableHLO) for the backend that takes it.
//
// # Concurrency
//
// A Model and its programs may be used from several goroutines; one Layer or Head must not be released while in use.
//
// # Errors
//
// Graph functions panic with an error on a wrong shape, as gomlx does; every exported function that runs a graph turns
// panics into returned errors.
package llama
