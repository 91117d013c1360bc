package llamacpp

/*
// All of these are inlined: how a vector would be passed to them does not matter.
#cgo CFLAGS: -Wno-psabi
#cgo noescape prunellm_exponentials
#cgo nocallback prunellm_exponentials
#cgo noescape prunellm_largest
#cgo nocallback prunellm_largest

#include <math.h>
#include <stdint.h>
#include <string.h>

// Sampling goes over all logits two or three times for each token. Go compiles that to one element at a time; these take
// sixteen, in whatever vectors the machine has. They compute what package infer's own functions do.
typedef float   floats __attribute__((vector_size(64)));
typedef int32_t ints __attribute__((vector_size(64)));
enum { lanes = 16 };

// A build for any x86-64 holds these three times, and takes the best that the processor has.
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__) && !defined(__AVX2__)
#define FOR_EACH_PROCESSOR __attribute__((target_clones("arch=skylake-avx512", "arch=haswell", "default")))
#else
#define FOR_EACH_PROCESSOR
#endif

static inline floats load(const float * x, int n) {
	floats v;
	if (n >= lanes) {
		memcpy(&v, x, sizeof v);
		return v;
	}
	for (int i = 0; i < lanes; i++) {
		v[i] = i < n ? x[i] : -INFINITY;
	}
	return v;
}

static inline floats choose(ints mask, floats yes, floats no) { return (floats) (((ints) yes & mask) | ((ints) no & ~mask)); }

// exponential is e to the x for x of at most 0; 0 below -87 and for NaN. See softmax.go in package infer.
static inline floats exponential(floats x) {
	ints   n = __builtin_convertvector(x * 1.44269504f - 0.5f, ints);
	floats f = __builtin_convertvector(n, floats);
	floats r = x - f * 0.693359375f + f * 2.12194440e-4f;
	floats p = 1 + r * (1 + r * (1.0f / 2 + r * (1.0f / 6 + r * (1.0f / 24 + r * (1.0f / 120 + r * (1.0f / 720))))));
	floats e = p * (floats) ((n + 127) << 23);
	return (floats) ((ints) e & (x >= -87.0f));
}

// prunellm_exponentials fills probs with exp((logit-largest)*inverse) and sums with their sums by blocks.
FOR_EACH_PROCESSOR static void prunellm_exponentials(float * probs, const float * logits, int n, float largest, float inverse, int block, float * sums) {
	for (int from = 0; from < n; from += block) {
		int    to  = from + block < n ? from + block : n;
		floats sum = { 0 };
		for (int i = from; i < to; i += lanes) {
			floats e = exponential((load(logits + i, to - i) - largest) * inverse);
			memcpy(probs + i, &e, (to - i >= lanes ? lanes : to - i) * sizeof(float));
			sum += e;
		}
		float total = 0;
		for (int i = 0; i < lanes; i++) {
			total += sum[i];
		}
		*sums++ = total;
	}
}

// prunellm_largest is the index of the largest of n logits, the first of equals; -1 when all are -Inf or NaN.
FOR_EACH_PROCESSOR static int prunellm_largest(const float * logits, int n) {
	floats best = load(logits, 0);
	for (int i = 0; i < n; i += lanes) {
		floats x = load(logits + i, n - i);
		best = choose(x > best, x, best);
	}
	float largest = -INFINITY;
	for (int i = 0; i < lanes; i++) {
		largest = best[i] > largest ? best[i] : largest;
	}
	if (largest == -INFINITY) {
		return -1;
	}
	for (int i = 0; i < n; i++) {
		if (logits[i] == largest) {
			return i;
		}
	}
	return -1;
}
*/
import "C"

import (
	"math"
	"unsafe"
)

func floats(x []float32) *C.float { return (*C.float)(unsafe.Pointer(unsafe.SliceData(x))) }

// Largest is the index of the largest logit, the lowest of equals, and its value; -Inf when there is none.
func (m *Model) Largest(logits []float32) (int, float32) {
	i := int(C.prunellm_largest(floats(logits), C.int(len(logits))))
	if i < 0 {
		return 0, float32(math.Inf(-1))
	}
	return i, logits[i]
}

// Exponentials fills probs with exp((logit-largest)*inverse) and sums with their sums over blocks of the given size.
func (m *Model) Exponentials(probs, logits []float32, largest, inverse float32, block int, sums []float32) {
	if len(probs) != len(logits) || block < 1 || len(sums) != (len(logits)+block-1)/block {
		panic("llamacpp: lengths of probabilities, logits and sums do not agree") // our own fault
	}
	C.prunellm_exponentials(floats(probs), floats(logits), C.int(len(logits)), C.float(largest), C.float(inverse), C.int(block), floats(sums))
}
