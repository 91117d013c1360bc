// Package llama builds the gomlx graph of a Llama-family decoder: one decoder layer, forward and backward, and the
// head.
//
// It is not an engine: it has no KV cache and generates no text (see infer). It does not decide what to prune: package
// prune builds losses and scores from its graphs.
//
// # Data flow
//
// A compiled program takes the weights as arguments, so all layers of one width share it. A Model loads the tensors of
// a models.Weights into device buffers (LoadLayer, LoadHead) and runs programs on them (LayerProgram, HeadProgram). The
// input of a program is one sequence, float32[t, e], padded on the right, or s sequences of equal padded length,
// float32[s*t, e]. Attention is causal, so padding does not change the tokens before it. The caller decides which
// hidden states to keep between layers. A run therefore needs memory for the weights and activations of one layer, no
// matter how many layers there are.
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
// Every adjoint is written by hand next to its forward function. gomlx's Gradient would turn the adjoint of a matmul
// into a broadcast multiplication and a sum. XLA's CPU backend runs those hundreds of times slower than a matmul. The
// backward pass recomputes forward values, except for those that the caller saved and passes to Resume. The tests
// compare each adjoint with finite differences.
//
// # StableHLO
//
// gomlx's graphs cannot express matmuls of bfloat16 with float32 results. Such matmuls are written in XLA's own
// language (Model.CompileStableHLO) for backends that accept it.
//
// # Concurrency
//
// A Model and its programs may be used from several goroutines. A Layer or Head must not be released while a program
// uses it.
//
// # Errors
//
// Graph functions panic with an error on a wrong shape, as gomlx does. Every exported function that runs a graph
// recovers from the panic and returns the error.
package llama
