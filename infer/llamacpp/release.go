package llamacpp

// A context that is freed, or that cannot be made for want of memory, ends its backends before its scheduler, which then asks each
// backend of a GPU to give up its pools: memory that has been freed already. (ollama's own program never frees a context.) release.c
// holds backends back until the scheduler is gone: the linker puts it in the place of the function that ends them.
//
// The same way it deletes buffers that have no function of their own to free them, which ggml leaves behind as it is built in
// ollama's module: some twenty for each layer of a model that is loaded, small but for good, and between large pieces of memory.

/*
#cgo linux LDFLAGS: -Wl,--wrap=ggml_backend_free -Wl,--wrap=ggml_backend_buffer_free

struct llama_context;
extern void llama_free(struct llama_context * context);
extern void prunellm_hold_backends(void);
extern void prunellm_end_backends(void);
*/
import "C"

import "runtime"

// holdingBackends runs what frees a context, or may fail to make one, and ends the backends of contexts that are gone after it.
func holdingBackends(run func()) {
	runtime.LockOSThread() // which backends are held is the thread's
	defer runtime.UnlockOSThread()
	C.prunellm_hold_backends()
	run()
	C.prunellm_end_backends()
}

func freeContext(c cContext) {
	holdingBackends(func() { C.llama_free(c) })
}
