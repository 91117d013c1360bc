package llamacpp

// llama_free ends the backends of a context before its scheduler, which then asks each backend of a GPU to give up its pools: memory
// that has been freed already. (ollama's own program never frees a context.) release.c holds backends back until the scheduler is
// gone: the linker puts it in the place of the function that ends them.
//
// The same way it deletes buffers that have no function of their own to free them, which ggml leaves behind as it is built in
// ollama's module: some twenty for each layer of a model that is loaded, small but for good, and between large pieces of memory.

/*
#cgo linux LDFLAGS: -Wl,--wrap=ggml_backend_free -Wl,--wrap=ggml_backend_buffer_free

struct llama_context;
extern void prunellm_free_context(struct llama_context * context);
*/
import "C"

func freeContext(c cContext) { C.prunellm_free_context(c) }
