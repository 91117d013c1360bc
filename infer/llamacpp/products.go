//go:build linux

package llamacpp

// ggml multiplies block-quantized weights with one column of activations at a time: each number of the result costs a pass
// over a row, with a sum across the vector at its end. products.c takes 16 rows at a time, a row in each lane, and up to eight
// columns, on processors with AVX-512 and its instructions for products of bytes. The linker puts it in front of the functions
// that ggml asks first whether they want to compute an operation; whatever it does not take goes on to ggml. See
// docs/decisions/0310.

/*
#cgo linux LDFLAGS: -Wl,--wrap=ggml_cpu_extra_compute_forward -Wl,--wrap=ggml_cpu_extra_work_size
*/
import "C"
