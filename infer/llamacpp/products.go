//go:build linux

package llamacpp

/*
#cgo linux LDFLAGS: -Wl,--wrap=ggml_cpu_extra_compute_forward -Wl,--wrap=ggml_cpu_extra_work_size
*/
import "C"
