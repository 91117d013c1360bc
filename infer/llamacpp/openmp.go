package llamacpp

/*
#cgo linux LDFLAGS: -Wl,--as-needed -l:libgomp.a

#include <stdlib.h>

// ggml meets at a barrier several hundred times for each token. OpenMP's threads spin there before they sleep, by default for
// milliseconds: longer than a time slice of whoever holds the core that the last thread waits for. On a machine with
// other work that made one token take seconds. Not spinning at all makes a free machine four times slower. So the threads
// spin for a fraction of a millisecond and then sleep, unless the user has said otherwise.
//
// libgomp reads its environment when it is initialised, before main. It is linked statically for that reason: a
// constructor with a priority comes before those without in the same file, and none of ours could come before those of a
// shared library.
__attribute__((constructor(101))) static void bound_spinning(void) {
	if (getenv("OMP_WAIT_POLICY") == NULL) {
		setenv("GOMP_SPINCOUNT", "1000", 0);
	}
}
*/
import "C"
