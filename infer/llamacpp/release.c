// Frees backends in an order that is safe for GPU backends, and frees the buffers that ggml leaks; see release.go.
#include <stddef.h>

#ifdef __linux__

typedef struct ggml_backend * backend_t;
extern void __real_ggml_backend_free(backend_t backend);

// More than a context can have: one backend for each of ggml's devices and some for the processor. Further backends are freed
// at once.
#define MAX_BACKENDS 64

static __thread int       holding;
static __thread int       held_back;
static __thread backend_t backends[MAX_BACKENDS];

void __wrap_ggml_backend_free(backend_t backend) {
	if (holding && held_back < MAX_BACKENDS) {
		backends[held_back++] = backend;
		return;
	}
	__real_ggml_backend_free(backend);
}

// A buffer begins with the function that frees its memory. It is NULL if the buffer has no memory or does not own it.
struct ggml_backend_buffer {
	void (*free_buffer)(struct ggml_backend_buffer * buffer);
};

extern void __real_ggml_backend_buffer_free(struct ggml_backend_buffer * buffer);
extern void operator_delete(void * object) __asm__("_ZdlPv"); // C++'s operator delete: ggml creates buffers with new

void __wrap_ggml_backend_buffer_free(struct ggml_backend_buffer * buffer) {
	if (buffer != NULL && buffer->free_buffer == NULL) {
		operator_delete(buffer);
		return;
	}
	__real_ggml_backend_buffer_free(buffer);
}

void prunellm_hold_backends(void) { holding = 1; }

void prunellm_end_backends(void) {
	holding = 0;
	while (held_back > 0) {
		__real_ggml_backend_free(backends[--held_back]);
	}
}

#else

void prunellm_hold_backends(void) {}
void prunellm_end_backends(void) {}

#endif
