package gguf

import (
	"fmt"
	"math"
	"strings"
)

// Type is the storage type of a tensor's values. Its value is ggml's number of the type.
type Type uint32

// The tensor types of ggml. A block type stores its values in blocks of BlockSize values, each TypeSize bytes long.
const (
	F32    Type = 0
	F16    Type = 1
	Q4_0   Type = 2
	Q4_1   Type = 3
	Q5_0   Type = 6
	Q5_1   Type = 7
	Q8_0   Type = 8
	Q8_1   Type = 9
	Q2_K   Type = 10
	Q3_K   Type = 11
	Q4_K   Type = 12
	Q5_K   Type = 13
	Q6_K   Type = 14
	Q8_K   Type = 15
	IQ2XXS Type = 16
	IQ2XS  Type = 17
	IQ3XXS Type = 18
	IQ1S   Type = 19
	IQ4NL  Type = 20
	IQ3S   Type = 21
	IQ2S   Type = 22
	IQ4XS  Type = 23
	I8     Type = 24
	I16    Type = 25
	I32    Type = 26
	I64    Type = 27
	F64    Type = 28
	IQ1M   Type = 29
	BF16   Type = 30
	TQ1_0  Type = 34
	TQ2_0  Type = 35
	MXFP4  Type = 39
)

type layout struct {
	name  string
	block int // values in a block
	size  int // bytes of a block
}

var layouts = map[Type]layout{
	F32: {"f32", 1, 4}, F16: {"f16", 1, 2}, BF16: {"bf16", 1, 2}, F64: {"f64", 1, 8},
	I8: {"i8", 1, 1}, I16: {"i16", 1, 2}, I32: {"i32", 1, 4}, I64: {"i64", 1, 8},
	Q4_0: {"q4_0", 32, 18}, Q4_1: {"q4_1", 32, 20}, Q5_0: {"q5_0", 32, 22}, Q5_1: {"q5_1", 32, 24},
	Q8_0: {"q8_0", 32, 34}, Q8_1: {"q8_1", 32, 36}, MXFP4: {"mxfp4", 32, 17}, IQ4NL: {"iq4_nl", 32, 18},
	Q2_K: {"q2_k", 256, 84}, Q3_K: {"q3_k", 256, 110}, Q4_K: {"q4_k", 256, 144}, Q5_K: {"q5_k", 256, 176},
	Q6_K: {"q6_k", 256, 210}, Q8_K: {"q8_k", 256, 292},
	IQ2XXS: {"iq2_xxs", 256, 66}, IQ2XS: {"iq2_xs", 256, 74}, IQ2S: {"iq2_s", 256, 82},
	IQ3XXS: {"iq3_xxs", 256, 98}, IQ3S: {"iq3_s", 256, 110}, IQ4XS: {"iq4_xs", 256, 136},
	IQ1S: {"iq1_s", 256, 50}, IQ1M: {"iq1_m", 256, 56}, TQ1_0: {"tq1_0", 256, 54}, TQ2_0: {"tq2_0", 256, 66},
}

// Known reports whether this package knows the type's layout.
func (t Type) Known() bool { _, ok := layouts[t]; return ok }

// String returns ggml's name of the type in lower case, for example "q4_1".
func (t Type) String() string {
	if l, ok := layouts[t]; ok {
		return l.name
	}
	return fmt.Sprintf("type(%d)", uint32(t))
}

// ParseType returns the type with that name. It ignores upper and lower case.
func ParseType(name string) (Type, error) {
	for t, l := range layouts {
		if l.name == strings.ToLower(name) {
			return t, nil
		}
	}
	return 0, fmt.Errorf("unknown tensor type %q", name)
}

// BlockSize returns the number of values in a block. It is 1 for plain types and 0 for an unknown type.
func (t Type) BlockSize() int { return layouts[t].block }

// TypeSize returns the number of bytes of a block. It is 0 for an unknown type.
func (t Type) TypeSize() int { return layouts[t].size }

// Quantized reports whether the type stores values in blocks that share a scale.
func (t Type) Quantized() bool { return layouts[t].block > 1 }

// Size returns the number of bytes of n values. It returns an error if the type is unknown, if n is negative or
// overflows, or if n values do not fill whole blocks.
func (t Type) Size(n int64) (int64, error) {
	l, ok := layouts[t]
	switch {
	case !ok:
		return 0, fmt.Errorf("unknown tensor type %d", uint32(t))
	case n < 0 || n > math.MaxInt64/16:
		return 0, fmt.Errorf("%d values are out of range", n)
	case n%int64(l.block) != 0:
		return 0, fmt.Errorf("%d values do not fill %s blocks of %d", n, l.name, l.block)
	}
	return n / int64(l.block) * int64(l.size), nil
}
