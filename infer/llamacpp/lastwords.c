// Log and abort callbacks for llama.cpp and for every copy of ggml.
#include <string.h>
#include <unistd.h>

extern void prunellmLlamaLog(int level, char * text, void * data);

// The beginning of the last error that this thread logged. A backend logs an error before it aborts.
static __thread char reason[200];

#define LEVEL_ERROR 4 // GGML_LOG_LEVEL_ERROR

void prunellm_backend_log(int level, const char * text, void * data) {
	if (level == LEVEL_ERROR && text[0] != ' ') { // an indented line continues the line before
		strncpy(reason, text, sizeof reason - 1);
		reason[strcspn(reason, "\n")] = 0;
	}
	prunellmLlamaLog(level, (char *) text, data);
}

// prunellm_die replaces abort(). It prints one line, without stack trace or core file, and ends the process. message ends with
// the cause, such as "ggml-cuda.cu:96: CUDA error". If reason begins with the same words, its rest is printed after them.
void prunellm_die(const char * message) {
	static const char prefix[] = "prunellm: llama.cpp stopped: ";
	const char * what = strrchr(message, ':');
	what = what != NULL && what[1] == ' ' ? what + 2 : message;
	const char * more = strncmp(reason, what, strlen(what)) == 0 ? reason + strlen(what) : "";
	if (write(2, prefix, sizeof prefix - 1) >= 0 && write(2, message, strlen(message)) >= 0 && write(2, more, strlen(more)) >= 0 && write(2, "\n", 1) >= 0) {
	}
	_exit(1);
}
