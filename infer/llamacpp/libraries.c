// Redirects the log and the abort callback of a copy of ggml's base; see libraries.go.
#include <stddef.h>

#ifdef __linux__

#include <dlfcn.h>

extern void prunellm_backend_log(int level, const char * text, void * data);
extern void prunellm_die(const char * message);

// The library stays open until the process ends.
void prunellm_adopt_library(const char * path) {
	void * library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (library == NULL) {
		return;
	}
	void (*set_log)(void (*)(int, const char *, void *), void *);
	*(void **) &set_log = dlsym(library, "ggml_log_set");
	if (set_log != NULL) {
		set_log(prunellm_backend_log, NULL);
	}
	void * (*set_abort)(void (*)(const char *));
	*(void **) &set_abort = dlsym(library, "ggml_set_abort_callback");
	if (set_abort != NULL) {
		set_abort(prunellm_die);
	}
}

#else

void prunellm_adopt_library(const char * path) { (void) path; }

#endif
