// Vector functions for sampling; see vector.go.
#include <math.h>
#include <stdint.h>
#include <string.h>

// Sampling reads all logits two or three times for each token. Go processes one logit at a time; these functions process
// sixteen, with the machine's vector instructions. They compute the same as package infer's own functions.
typedef float   floats __attribute__((vector_size(64)));
typedef int32_t ints __attribute__((vector_size(64)));
enum { lanes = 16 };

// A build for any x86-64 compiles the functions three times. GCC's own target_clones does not work here: GCC lowers the vectors
// above to the base target's 16 bytes before it clones functions.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__AVX2__)
#define SEVERAL 1
#endif

#define VECTORS(name) name##_any
#include "vector.h"
#undef VECTORS

#ifdef SEVERAL

#pragma GCC push_options
#pragma GCC target("avx2,fma")
#define VECTORS(name) name##_avx2
#include "vector.h"
#undef VECTORS
#pragma GCC pop_options

#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,prefer-vector-width=512")
#define VECTORS(name) name##_avx512
#include "vector.h"
#undef VECTORS
#pragma GCC pop_options

// kind is the level of the processor's vector instructions: 0 any, 1 AVX2, 2 AVX-512.
static int kind;

__attribute__((constructor)) static void look(void) {
	__builtin_cpu_init();
	if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
		kind = 2;
	} else if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
		kind = 1;
	}
}

#define BEST(name, ...) (kind == 2 ? name##_avx512(__VA_ARGS__) : kind == 1 ? name##_avx2(__VA_ARGS__) : name##_any(__VA_ARGS__))

#else

#define BEST(name, ...) name##_any(__VA_ARGS__)

#endif

void prunellm_exponentials(float * probs, const float * logits, int n, float largest, float inverse, int block, float * sums) {
	BEST(exponentials, probs, logits, n, largest, inverse, block, sums);
}

int prunellm_largest(const float * logits, int n) { return BEST(largest, logits, n); }
