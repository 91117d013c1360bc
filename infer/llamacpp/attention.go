//go:build linux

package llamacpp

// llama.cpp's attention on the CPU goes through the cache one query and one key at a time, with an exponential for each in
// scalar code and values added up in float16: a third of the time of a prompt of 512 tokens. attention.c takes tiles of
// queries and blocks of keys, in float32. The linker puts it in the place of ggml's function, which still computes whatever
// the tiles do not take (other types, soft caps, sinks, processors without AVX2) and all of it where ggml's CPU code is a
// library of its own. See decision 0307.

/*
#cgo linux LDFLAGS: -Wl,--wrap=ggml_compute_forward_flash_attn_ext
*/
import "C"
