package gguf

import (
	"errors"
	"fmt"
	"math"
)

// ErrNoKey is wrapped by the errors of the typed getters for a key that the file does not have.
var ErrNoKey = errors.New("no such key")

// KV is one key with its value. The Go type of Value follows from the GGUF type: uint8, int8, uint16, int16, uint32,
// int32, float32, bool, string, uint64, int64, float64, or a slice of one of these for an array.
type KV struct {
	Key   string
	Value any
}

// valueType is the number by which a file gives the type of a value.
type valueType uint32

const (
	typeUint8 valueType = iota
	typeInt8
	typeUint16
	typeInt16
	typeUint32
	typeInt32
	typeFloat32
	typeBool
	typeString
	typeArray
	typeUint64
	typeInt64
	typeFloat64
)

// minSize returns the smallest number of bytes that a value of the type takes in a file.
func (t valueType) minSize() int {
	switch t {
	case typeUint8, typeInt8, typeBool:
		return 1
	case typeUint16, typeInt16:
		return 2
	case typeUint32, typeInt32, typeFloat32:
		return 4
	default:
		return 8
	}
}

// Value returns a key's value, or false if the file does not have the key.
func (f *File) Value(key string) (any, bool) {
	i, ok := f.keys[key]
	if !ok {
		return nil, false
	}
	return f.KVs[i].Value, true
}

func (f *File) lookup(key string) (any, error) {
	value, ok := f.Value(key)
	if !ok {
		return nil, fmt.Errorf("key %q: %w", key, ErrNoKey)
	}
	return value, nil
}

// String returns the value of a string key.
func (f *File) String(key string) (string, error) {
	value, err := f.lookup(key)
	if err != nil {
		return "", err
	}
	s, ok := value.(string)
	if !ok {
		return "", mismatch(key, value, "a string")
	}
	return s, nil
}

// Bool returns the value of a boolean key.
func (f *File) Bool(key string) (bool, error) {
	value, err := f.lookup(key)
	if err != nil {
		return false, err
	}
	b, ok := value.(bool)
	if !ok {
		return false, mismatch(key, value, "a boolean")
	}
	return b, nil
}

// Float returns the value of a floating-point key of either size.
func (f *File) Float(key string) (float64, error) {
	value, err := f.lookup(key)
	if err != nil {
		return 0, err
	}
	switch v := value.(type) {
	case float32:
		return float64(v), nil
	case float64:
		return v, nil
	}
	return 0, mismatch(key, value, "a float")
}

// Int returns the value of an integer key of any size.
func (f *File) Int(key string) (int64, error) {
	value, err := f.lookup(key)
	if err != nil {
		return 0, err
	}
	n, ok := asInt(value)
	if !ok {
		return 0, mismatch(key, value, "an integer")
	}
	return n, nil
}

// Ints returns the value of an array of integers of any size. A single integer gives a slice of one element.
func (f *File) Ints(key string) ([]int64, error) {
	value, err := f.lookup(key)
	if err != nil {
		return nil, err
	}
	if n, ok := asInt(value); ok {
		return []int64{n}, nil
	}
	switch v := value.(type) {
	case []uint8:
		return widen(v), nil
	case []int8:
		return widen(v), nil
	case []uint16:
		return widen(v), nil
	case []int16:
		return widen(v), nil
	case []uint32:
		return widen(v), nil
	case []int32:
		return widen(v), nil
	case []int64:
		return widen(v), nil
	case []uint64:
		for _, n := range v {
			if n > math.MaxInt64 {
				return nil, fmt.Errorf("key %q: %d does not fit in 63 bits", key, n)
			}
		}
		return widen(v), nil
	}
	return nil, mismatch(key, value, "an array of integers")
}

// Strings returns the value of an array of strings. The slice belongs to the file.
func (f *File) Strings(key string) ([]string, error) {
	value, err := f.lookup(key)
	if err != nil {
		return nil, err
	}
	s, ok := value.([]string)
	if !ok {
		return nil, mismatch(key, value, "an array of strings")
	}
	return s, nil
}

func mismatch(key string, value any, want string) error {
	return fmt.Errorf("key %q is of type %T instead of %s", key, value, want)
}

func asInt(value any) (int64, bool) {
	switch v := value.(type) {
	case uint8:
		return int64(v), true
	case int8:
		return int64(v), true
	case uint16:
		return int64(v), true
	case int16:
		return int64(v), true
	case uint32:
		return int64(v), true
	case int32:
		return int64(v), true
	case int64:
		return v, true
	case uint64:
		return int64(v), v <= math.MaxInt64
	}
	return 0, false
}

func widen[T uint8 | int8 | uint16 | int16 | uint32 | int32 | uint64 | int64](values []T) []int64 {
	out := make([]int64, len(values))
	for i, v := range values {
		out[i] = int64(v)
	}
	return out
}
