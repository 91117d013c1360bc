package llama

import (
	"fmt"

	"github.com/gomlx/gomlx/backends"
	"github.com/gomlx/gomlx/pkg/core/dtypes"
	"github.com/gomlx/gomlx/pkg/core/dtypes/bfloat16"
	. "github.com/gomlx/gomlx/pkg/core/graph" //nolint:staticcheck // gomlx graph code reads as formulas

	"prunellm/internal/bf16"
	"prunellm/models"
)

// Precision is the type of the factors in matmuls with weights. Everything else is always float32: the sums within
// matmuls, norms, attention between tokens, losses and sums over tokens.
type Precision string

// The precisions.
const (
	// AutoPrecision means bfloat16 on backends where its matmuls are faster than float32, unless the work is sensitive
	// to rounding.
	AutoPrecision Precision = ""
	Float32       Precision = "f32"
	// BFloat16 means mixed precision: factors and results are rounded to 8 bits of mantissa.
	BFloat16 Precision = "bf16"
)

// Validate returns an error for a value that is not a precision.
func (p Precision) Validate() error {
	switch p {
	case AutoPrecision, Float32, BFloat16:
		return nil
	}
	return fmt.Errorf("%q is not a valid precision; use f32, bf16, or nothing for the default", string(p))
}

// fastBFloat16 is implemented by backends that may have hardware for bfloat16.
type fastBFloat16 interface {
	// FastBFloat16 reports whether matmuls of bfloat16 are faster than those of float32.
	FastBFloat16() bool
}

// On returns the precision of work on a backend: Float32 or BFloat16. For work that is sensitive to rounding it returns
// BFloat16 only if p is BFloat16.
func (p Precision) On(backend backends.Backend, sensitive bool) Precision {
	if p != AutoPrecision {
		return p
	}
	if fast, ok := backend.(fastBFloat16); ok && fast.FastBFloat16() && !sensitive {
		return BFloat16
	}
	return Float32
}

// Narrow returns the roles of the matrices of a layer that are bfloat16 in this precision. The caller must not change
// the slice.
func (p Precision) Narrow() []models.Role {
	if p != BFloat16 {
		return nil
	}
	return matrices
}

// matrices lists the roles of the matrices of a layer, which are all weights but norms and biases.
var matrices = []models.Role{
	models.AttnQ, models.AttnK, models.AttnV, models.AttnOutput, models.FFNGate, models.FFNUp, models.FFNDown,
}

// In returns the block with its matrices converted to a precision.
func (b *Block) In(p Precision) *Block {
	c, to := *b, widen
	if p == BFloat16 {
		to = narrow
	}
	for _, role := range matrices {
		matrix := c.Weight(role)
		*matrix = to(*matrix)
	}
	return &c
}

// matmul is an Einsum of activations or gradients, with weights or with each other. If one factor is bfloat16, matmul
// rounds the other to bfloat16 too. The result is float32.
func matmul(equation string, a, b *Node) *Node {
	if !isNarrow(a) && !isNarrow(b) {
		return Einsum(equation, a, b)
	}
	return widen(Einsum(equation, narrow(a), narrow(b)))
}

// narrowTranspose transposes float32[t, o] to bfloat16[o, t]. XLA's CPU backend has fast bfloat16 matmuls only if they
// sum over the rows of the first factor. It would merge a plain transpose into the matmul, which halves the speed. A
// transpose of three axes is not merged.
func narrowTranspose(x *Node) *Node {
	tokens, out := x.Shape().Dim(0), x.Shape().Dim(1)
	if tokens%2 != 0 {
		return Transpose(narrow(x), 0, 1)
	}
	pairs := Reshape(narrow(x), tokens/2, 2, out)
	return Reshape(TransposeAllAxes(pairs, 2, 0, 1), out, tokens)
}

func isNarrow(x *Node) bool { return x.DType() == dtypes.BFloat16 }

// narrow rounds x to the nearest bfloat16.
func narrow(x *Node) *Node {
	if isNarrow(x) {
		return x
	}
	return ConvertDType(x, dtypes.BFloat16)
}

// roundNarrow is like narrow, on the host. gomlx's own conversion would truncate instead of rounding.
func roundNarrow(values []float32) []bfloat16.BFloat16 {
	out := make([]bfloat16.BFloat16, len(values))
	for i, value := range values {
		out[i] = bfloat16.FromBits(bf16.Bits(value))
	}
	return out
}

// widen converts x from bfloat16 to float32.
func widen(x *Node) *Node {
	if !isNarrow(x) {
		return x
	}
	return ConvertDType(x, dtypes.Float32)
}
