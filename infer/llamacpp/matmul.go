//go:build linux

package llamacpp

// ggml multiplies block-quantized weights with one column of activations at a time: it reads a row per number of the
// result and sums across the vector at the row's end. matmul.c takes a panel of rows at a time, one row per lane, and
// several columns: 16 rows with AVX-512 and its dot products of bytes (lanes16.h), 8 with AVX2 (lanes8.h). The linker
// redirects to it the functions by which ggml offers an operation to its CPU extensions; it passes other operations to
// ggml. See decision 0310.

/*
#cgo linux LDFLAGS: -Wl,--wrap=ggml_cpu_extra_compute_forward -Wl,--wrap=ggml_cpu_extra_work_size
*/
import "C"
