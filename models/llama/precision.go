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

// Precision is how finely the factors of matrix products with weights are taken. Sums are float32 in any case, and so is all else:
// norms, attention between tokens, losses, sums over tokens.
type Precision string

// The precisions.
const (
	// AutoPrecision is bfloat16 on backends that multiply it faster than float32, if the work at hand takes no harm from it.
	AutoPrecision Precision = ""
	Float32       Precision = "f32"
	// BFloat16 rounds factors and results to 8 bits of mantissa: mixed precision, in the words of those who train.
	BFloat16 Precision = "bf16"
)

// Validate reports a word that is none of the precisions.
func (p Precision) Validate() error {
	switch p {
	case AutoPrecision, Float32, BFloat16:
		return nil
	}
	return fmt.Errorf("precision is %q, want f32, bf16 or nothing", string(p))
}

// fastBFloat16 is implemented by backends that may have units for bfloat16.
type fastBFloat16 interface {
	// FastBFloat16 tells whether products of bfloat16 are faster than those of float32.
	FastBFloat16() bool
}

// On is what the products of some work on a backend are computed in: Float32 or BFloat16. For sensitive work it is the latter only
// where it was asked for by name.
func (p Precision) On(backend backends.Backend, sensitive bool) Precision {
	if p != AutoPrecision {
		return p
	}
	if fast, ok := backend.(fastBFloat16); ok && fast.FastBFloat16() && !sensitive {
		return BFloat16
	}
	return Float32
}

// Narrow are the roles of a layer's matrices if they are to be bfloat16. Nobody changes the list.
func (p Precision) Narrow() []models.Role {
	if p != BFloat16 {
		return nil
	}
	return matrices
}

// matrices are the weights of a layer that are multiplied with: all but norms and biases.
var matrices = []models.Role{
	models.AttnQ, models.AttnK, models.AttnV, models.AttnOutput, models.FFNGate, models.FFNUp, models.FFNDown,
}

// In is the block with its matrices in a precision.
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

// product is an Einsum of a matrix of activations or gradients with a matrix of weights, or of two of the former. Where a factor is
// bfloat16 the other is rounded to it as well, and the result is float32 again.
func product(equation string, a, b *Node) *Node {
	if !isNarrow(a) && !isNarrow(b) {
		return Einsum(equation, a, b)
	}
	return widen(Einsum(equation, narrow(a), narrow(b)))
}

// narrowTranspose turns float32[t, o] into bfloat16[o, t]. XLA's CPU backend has fast products of bfloat16 only where the first factor's
// rows are summed over, and would merge a plain transposition into the product again: half of the speed. So it is one of three axes.
func narrowTranspose(x *Node) *Node {
	tokens, out := x.Shape().Dim(0), x.Shape().Dim(1)
	if tokens%2 != 0 {
		return Transpose(narrow(x), 0, 1)
	}
	pairs := Reshape(narrow(x), tokens/2, 2, out)
	return Reshape(TransposeAllAxes(pairs, 2, 0, 1), out, tokens)
}

func isNarrow(x *Node) bool { return x.DType() == dtypes.BFloat16 }

// narrow rounds to the nearest bfloat16.
func narrow(x *Node) *Node {
	if isNarrow(x) {
		return x
	}
	return ConvertDType(x, dtypes.BFloat16)
}

// roundNarrow is narrow on the host. gomlx's own conversion there cuts bits off instead.
func roundNarrow(values []float32) []bfloat16.BFloat16 {
	out := make([]bfloat16.BFloat16, len(values))
	for i, value := range values {
		out[i] = bfloat16.FromBits(bf16.Bits(value))
	}
	return out
}

// widen makes float32 of bfloat16.
func widen(x *Node) *Node {
	if !isNarrow(x) {
		return x
	}
	return ConvertDType(x, dtypes.Float32)
}
