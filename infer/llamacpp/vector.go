package llamacpp

/*
// The warning is about the calling convention of vectors, but vector.c inlines all functions that pass vectors.
#cgo CFLAGS: -Wno-psabi
#cgo noescape prunellm_exponentials
#cgo nocallback prunellm_exponentials
#cgo noescape prunellm_largest
#cgo nocallback prunellm_largest

extern void prunellm_exponentials(float * probs, const float * logits, int n, float largest, float inverse, int block, float * sums);
extern int  prunellm_largest(const float * logits, int n);
*/
import "C"

import (
	"math"
	"unsafe"
)

func floats(x []float32) *C.float { return (*C.float)(unsafe.Pointer(unsafe.SliceData(x))) }

// Largest returns the index of the largest logit, the lowest of equals, and its value; -Inf when there is none.
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
		panic("llamacpp: lengths of probabilities, logits and sums differ") // a bug of this package or its caller
	}
	C.prunellm_exponentials(floats(probs), floats(logits), C.int(len(logits)), C.float(largest), C.float(inverse), C.int(block), floats(sums))
}
