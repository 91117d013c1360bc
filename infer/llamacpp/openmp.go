package llamacpp

/*
#cgo linux LDFLAGS: -Wl,--as-needed -l:libgomp.a

#include <stdlib.h>

// ggml's threads meet at a barrier several hundred times for each token. OpenMP's threads spin there before they sleep. By
// default they spin for milliseconds, longer than another process's time slice on the core that the last thread needs. On a
// busy machine one token then took seconds. Without any spinning a free machine is four times slower. So the threads spin for
// a fraction of a millisecond and then sleep, unless the user has set another policy; see spin.go.
//
// libgomp reads its environment when it is initialised, before main. It is linked statically, so that a constructor with a
// priority in our code can run before libgomp's. No constructor of ours could run before those of a shared library.
static int fixed; // the user has set a policy
__attribute__((constructor(101))) static void bound_spinning(void) {
	fixed = getenv("OMP_WAIT_POLICY") != NULL || getenv("GOMP_SPINCOUNT") != NULL;
	if (!fixed) {
		setenv("GOMP_SPINCOUNT", "1000", 0);
	}
}

// The variable that libgomp reads at each barrier. It is absent if libgomp is a shared library.
extern unsigned long long gomp_spin_count_var __attribute__((weak));

static void set_spin(unsigned long long count) {
	if (!fixed && &gomp_spin_count_var != NULL) {
		__atomic_store_n(&gomp_spin_count_var, count, __ATOMIC_RELAXED);
	}
}
*/
import "C"

// setSpin sets how often OpenMP's threads poll a barrier before they sleep, unless the environment sets it.
func setSpin(count int) { C.set_spin(C.ulonglong(count)) }
