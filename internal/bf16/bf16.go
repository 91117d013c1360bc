// Package bf16 rounds to bfloat16, the upper half of a float32. It does no arithmetic.
package bf16

import "math"

// Bits returns the bits of the bfloat16 nearest to v; of two, the even one. NaN stays NaN.
func Bits(v float32) uint16 {
	bits := math.Float32bits(v)
	if v != v {
		return uint16(bits>>16) | 0x40 // the quiet bit, because the upper half of the payload may be zero
	}
	return uint16((bits + 0x7fff + bits>>16&1) >> 16)
}
