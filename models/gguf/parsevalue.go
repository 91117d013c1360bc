package gguf

import (
	"encoding/binary"
	"fmt"
	"math"
)

func (p *parser) scalar(where string, kind valueType) (any, error) {
	if kind == typeString {
		return p.string(where, MaxStringBytes)
	}
	if kind > typeFloat64 || kind == typeArray {
		return nil, fmt.Errorf("%s has the unknown value type %d", where, kind)
	}
	b, err := p.read(where, kind.minSize())
	if err != nil {
		return nil, err
	}
	switch kind {
	case typeUint8:
		return b[0], nil
	case typeInt8:
		return int8(b[0]), nil
	case typeUint16:
		return binary.LittleEndian.Uint16(b), nil
	case typeInt16:
		return int16(binary.LittleEndian.Uint16(b)), nil
	case typeUint32:
		return binary.LittleEndian.Uint32(b), nil
	case typeInt32:
		return int32(binary.LittleEndian.Uint32(b)), nil
	case typeFloat32:
		return math.Float32frombits(binary.LittleEndian.Uint32(b)), nil
	case typeUint64:
		return binary.LittleEndian.Uint64(b), nil
	case typeInt64:
		return int64(binary.LittleEndian.Uint64(b)), nil
	case typeFloat64:
		return math.Float64frombits(binary.LittleEndian.Uint64(b)), nil
	}
	if b[0] > 1 {
		return nil, fmt.Errorf("%s is the boolean %d but must be 0 or 1", where, b[0])
	}
	return b[0] == 1, nil
}

func (p *parser) array(where string) (any, error) {
	number, err := p.uint32(where)
	if err != nil {
		return nil, err
	}
	kind := valueType(number)
	if kind == typeArray {
		return nil, fmt.Errorf("%s is an array of arrays, which is not supported", where)
	}
	if kind > typeFloat64 {
		return nil, fmt.Errorf("%s has the unknown element type %d", where, kind)
	}
	n, err := p.count(where+" (length)", MaxMetadataBytes, kind.minSize())
	if err != nil {
		return nil, err
	}
	switch kind {
	case typeUint8:
		return elements[uint8](p, where, kind, n)
	case typeInt8:
		return elements[int8](p, where, kind, n)
	case typeUint16:
		return elements[uint16](p, where, kind, n)
	case typeInt16:
		return elements[int16](p, where, kind, n)
	case typeUint32:
		return elements[uint32](p, where, kind, n)
	case typeInt32:
		return elements[int32](p, where, kind, n)
	case typeFloat32:
		return elements[float32](p, where, kind, n)
	case typeBool:
		return elements[bool](p, where, kind, n)
	case typeString:
		out := make([]string, n)
		for i := range out {
			if out[i], err = p.string(where, MaxStringBytes); err != nil {
				return nil, err
			}
		}
		return out, nil
	case typeUint64:
		return elements[uint64](p, where, kind, n)
	case typeInt64:
		return elements[int64](p, where, kind, n)
	default:
		return elements[float64](p, where, kind, n)
	}
}

func elements[T any](p *parser, where string, kind valueType, n int) (any, error) {
	out := make([]T, n)
	for i := range out {
		value, err := p.scalar(where, kind)
		if err != nil {
			return nil, err
		}
		out[i] = value.(T)
	}
	return out, nil
}
