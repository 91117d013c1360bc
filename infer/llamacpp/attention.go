//go:build linux

package llamacpp

// llama.cpp's attention on the CPU reads the cache one query and one key at a time. It computes an exponential for each in scalar
// code and sums values in float16. This takes a third of the time of a prompt of 512 tokens. attention.c computes tiles of
// queries and blocks of keys, in float32. The linker replaces ggml's function by it. ggml's function still computes the cases
// that the tiles do not cover: other types, soft caps, sinks, processors without AVX2. It computes everything if ggml's CPU code
// is a library of its own. See decision 0307.

/*
#cgo linux LDFLAGS: -Wl,--wrap=ggml_compute_forward_flash_attn_ext
*/
import "C"
