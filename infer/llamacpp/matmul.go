//go:build linux

package llamacpp

// ggml multiplies block-quantized weights with one column of activations at a time: each number of the result costs a pass
// over a row, with a sum across the vector at its end. matmul.c takes a panel of rows at a time, a row in each lane, and several
// columns: 16 rows with AVX-512 and its dot products of bytes (lanes16.h), 8 with AVX2 (lanes8.h). The linker puts it in front of the
// functions that ggml asks first whether they want to compute an operation; whatever it does not take goes on to ggml. See
// decision 0310.

/*
#cgo linux LDFLAGS: -Wl,--wrap=ggml_cpu_extra_compute_forward -Wl,--wrap=ggml_cpu_extra_work_size
*/
import "C"
