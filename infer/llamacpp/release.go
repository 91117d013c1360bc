package llamacpp

// When llama.cpp frees a context, or cannot make one for lack of memory, it frees the backends before the scheduler.
// The scheduler then asks each GPU backend to release its pools: a use after free. (ollama's own program never frees a
// context.) release.c delays freeing the backends until the scheduler is freed: the linker replaces the function that
// frees them.
//
// In the same way it frees buffers that have no function of their own for it. As ollama's module builds it, ggml leaks
// them: about twenty per layer of a model, small but permanent, between large pieces of memory.

/*
#cgo linux LDFLAGS: -Wl,--wrap=ggml_backend_free -Wl,--wrap=ggml_backend_buffer_free

struct llama_context;
extern void llama_free(struct llama_context * context);
extern void prunellm_hold_backends(void);
extern void prunellm_end_backends(void);
*/
import "C"

import "runtime"

// holdingBackends calls run, which frees a context or may fail to make one, and frees the held backends after it.
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
