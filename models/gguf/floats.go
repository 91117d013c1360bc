package gguf

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/x448/float16"

	"prunellm/internal/bf16"
)

// DecodeFloats decodes the bytes of n values of a plain floating-point type (F32, F16, BF16) to float32[n]. It returns
// an error for other types, which need ggml (see convert/ggmlquant).
func DecodeFloats(kind Type, raw []byte, n int) ([]float32, error) {
	if kind != F32 && kind != F16 && kind != BF16 {
		return nil, fmt.Errorf("type %s is not a plain float", kind)
	}
	if size, err := kind.Size(int64(n)); err != nil || size != int64(len(raw)) {
		return nil, fmt.Errorf("%d bytes for %d values of type %s", len(raw), n, kind)
	}
	out := make([]float32, n)
	switch kind {
	case F32:
		for i := range out {
			out[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
		}
	case F16:
		for i := range out {
			out[i] = float16.Frombits(binary.LittleEndian.Uint16(raw[2*i:])).Float32()
		}
	case BF16:
		for i := range out {
			out[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(raw[2*i:])) << 16)
		}
	}
	return out, nil
}

// EncodeFloats is the inverse of DecodeFloats. It rounds to nearest, ties to even.
func EncodeFloats(kind Type, values []float32) ([]byte, error) {
	switch kind {
	case F32:
		out := make([]byte, 0, 4*len(values))
		for _, v := range values {
			out = binary.LittleEndian.AppendUint32(out, math.Float32bits(v))
		}
		return out, nil
	case F16:
		out := make([]byte, 0, 2*len(values))
		for _, v := range values {
			out = binary.LittleEndian.AppendUint16(out, float16.Fromfloat32(v).Bits())
		}
		return out, nil
	case BF16:
		out := make([]byte, 0, 2*len(values))
		for _, v := range values {
			out = binary.LittleEndian.AppendUint16(out, bf16.Bits(v))
		}
		return out, nil
	}
	return nil, fmt.Errorf("type %s is not a plain float", kind)
}
