package llamacpp

// llama_free ends the backends of a context before its scheduler, which then asks each backend of a GPU to give up its pools: memory
// that has been freed already. (ollama's own program never frees a context.) release.c holds backends back until the scheduler is
// gone: the linker puts it in the place of the function that ends them.

/*
#cgo linux LDFLAGS: -Wl,--wrap=ggml_backend_free

struct llama_context;
extern void prunellm_free_context(struct llama_context * context);
*/
import "C"

func freeContext(c cContext) { C.prunellm_free_context(c) }
