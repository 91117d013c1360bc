package gguf

import (
	"encoding/binary"
	"fmt"
	"math"
)

// encoder appends values in GGUF's little-endian form.
type encoder struct{ bytes []byte }

func (e *encoder) uint32(v uint32) { e.bytes = binary.LittleEndian.AppendUint32(e.bytes, v) }
func (e *encoder) uint64(v uint64) { e.bytes = binary.LittleEndian.AppendUint64(e.bytes, v) }

func (e *encoder) string(s string) {
	e.uint64(uint64(len(s)))
	e.bytes = append(e.bytes, s...)
}

// value appends the type of the value and the value itself.
func (e *encoder) value(value any) error {
	kind, ok := scalarType(value)
	if ok {
		e.uint32(uint32(kind))
		e.scalar(value)
		return nil
	}
	switch v := value.(type) {
	case []uint8:
		appendArray(e, typeUint8, v)
	case []int8:
		appendArray(e, typeInt8, v)
	case []uint16:
		appendArray(e, typeUint16, v)
	case []int16:
		appendArray(e, typeInt16, v)
	case []uint32:
		appendArray(e, typeUint32, v)
	case []int32:
		appendArray(e, typeInt32, v)
	case []float32:
		appendArray(e, typeFloat32, v)
	case []bool:
		appendArray(e, typeBool, v)
	case []string:
		appendArray(e, typeString, v)
	case []uint64:
		appendArray(e, typeUint64, v)
	case []int64:
		appendArray(e, typeInt64, v)
	case []float64:
		appendArray(e, typeFloat64, v)
	default:
		return fmt.Errorf("a value of type %T has no GGUF type", value)
	}
	return nil
}

func appendArray[T any](e *encoder, kind valueType, values []T) {
	e.uint32(uint32(typeArray))
	e.uint32(uint32(kind))
	e.uint64(uint64(len(values)))
	for _, v := range values {
		e.scalar(v)
	}
}

func scalarType(value any) (valueType, bool) {
	switch value.(type) {
	case uint8:
		return typeUint8, true
	case int8:
		return typeInt8, true
	case uint16:
		return typeUint16, true
	case int16:
		return typeInt16, true
	case uint32:
		return typeUint32, true
	case int32:
		return typeInt32, true
	case float32:
		return typeFloat32, true
	case bool:
		return typeBool, true
	case string:
		return typeString, true
	case uint64:
		return typeUint64, true
	case int64:
		return typeInt64, true
	case float64:
		return typeFloat64, true
	}
	return 0, false
}

func (e *encoder) scalar(value any) {
	switch v := value.(type) {
	case uint8:
		e.bytes = append(e.bytes, v)
	case int8:
		e.bytes = append(e.bytes, uint8(v))
	case uint16:
		e.bytes = binary.LittleEndian.AppendUint16(e.bytes, v)
	case int16:
		e.bytes = binary.LittleEndian.AppendUint16(e.bytes, uint16(v))
	case uint32:
		e.uint32(v)
	case int32:
		e.uint32(uint32(v))
	case float32:
		e.uint32(math.Float32bits(v))
	case bool:
		if v {
			e.bytes = append(e.bytes, 1)
		} else {
			e.bytes = append(e.bytes, 0)
		}
	case string:
		e.string(v)
	case uint64:
		e.uint64(v)
	case int64:
		e.uint64(uint64(v))
	case float64:
		e.uint64(math.Float64bits(v))
	}
}
