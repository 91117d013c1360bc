package llamacpp

// When llama.cpp frees a context, or lacks the memory to create one, it frees the backends before the scheduler. The scheduler
// then asks each GPU backend to release its pools, which is a use after free. (ollama's own program never frees a context.)
// The linker replaces the function that frees backends by one in release.c, which waits until the scheduler is freed.
//
// release.c also replaces the function that frees buffers. As ollama's module builds it, ggml leaks buffers without a free
// function: about twenty per layer of a model, small, but scattered between large allocations.

/*
#cgo linux LDFLAGS: -Wl,--wrap=ggml_backend_free -Wl,--wrap=ggml_backend_buffer_free

struct llama_context;
extern void llama_free(struct llama_context * context);
extern void prunellm_hold_backends(void);
extern void prunellm_end_backends(void);
*/
import "C"

import "runtime"

// holdingBackends calls run, which frees a context or may fail to create one, and then frees the held backends.
func holdingBackends(run func()) {
	runtime.LockOSThread() // the thread holds the backends
	defer runtime.UnlockOSThread()
	C.prunellm_hold_backends()
	run()
	C.prunellm_end_backends()
}

func freeContext(c cContext) {
	holdingBackends(func() { C.llama_free(c) })
}
