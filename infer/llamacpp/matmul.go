//go:build linux

package llamacpp

// ggml multiplies block-quantized weights by one column of activations at a time. For each element of the result it reads a
// row, and sums across the vector at the row's end. matmul.c processes a panel of rows, one row per lane, and several columns
// at a time: 16 rows with AVX-512 and its byte dot products (lanes16.h), 8 with AVX2 (lanes8.h). The linker redirects the
// functions with which ggml offers operations to its CPU extensions to matmul.c, which passes other operations to ggml. See
// decision 0310.

/*
#cgo linux LDFLAGS: -Wl,--wrap=ggml_cpu_extra_compute_forward -Wl,--wrap=ggml_cpu_extra_work_size
*/
import "C"
