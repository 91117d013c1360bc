// What llama.cpp, and every copy of ggml, writes and how they end.
#include <string.h>
#include <unistd.h>

extern void prunellmLlamaLog(int level, char * text, void * data);

void prunellm_backend_log(int level, const char * text, void * data) { prunellmLlamaLog(level, (char *) text, data); }

// prunellm_die ends the process in the place of abort(): one line, no stack trace, no core file.
void prunellm_die(const char * message) {
	static const char prefix[] = "prunellm: llama.cpp stopped: ";
	if (write(2, prefix, sizeof prefix - 1) >= 0 && write(2, message, strlen(message)) >= 0 && write(2, "\n", 1) >= 0) {
	}
	_exit(1);
}
