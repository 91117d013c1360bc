package safetensors

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/x448/float16"

	"prunellm/internal/bf16"
)

// DType is the storage type of a tensor's values. Its value is the format's name of the type.
type DType string

// The types that this package knows. F32, F16 and BF16 convert to float32.
const (
	F64  DType = "F64"
	F32  DType = "F32"
	F16  DType = "F16"
	BF16 DType = "BF16"
	I64  DType = "I64"
	I32  DType = "I32"
	I16  DType = "I16"
	I8   DType = "I8"
	U8   DType = "U8"
	Bool DType = "BOOL"
)

// Size returns the number of bytes of one value. It is 0 for an unknown type.
func (d DType) Size() int {
	switch d {
	case F64, I64:
		return 8
	case F32, I32:
		return 4
	case F16, BF16, I16:
		return 2
	case I8, U8, Bool:
		return 1
	}
	return 0
}

func decodeFloats(d DType, raw []byte) ([]float32, error) {
	if d != F32 && d != F16 && d != BF16 {
		return nil, fmt.Errorf("dtype %q is not F32, F16 or BF16", d)
	}
	out := make([]float32, len(raw)/d.Size())
	for i := range out {
		switch d {
		case F32:
			out[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
		case F16:
			out[i] = float16.Frombits(binary.LittleEndian.Uint16(raw[2*i:])).Float32()
		default:
			out[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(raw[2*i:])) << 16)
		}
	}
	return out, nil
}

// appendFloats converts the values to type d and appends their bytes. It rounds to nearest, ties to even.
func appendFloats(out []byte, d DType, values []float32) []byte {
	for _, v := range values {
		switch d {
		case F32:
			out = binary.LittleEndian.AppendUint32(out, math.Float32bits(v))
		case F16:
			out = binary.LittleEndian.AppendUint16(out, float16.Fromfloat32(v).Bits())
		default:
			out = binary.LittleEndian.AppendUint16(out, bf16.Bits(v))
		}
	}
	return out
}
