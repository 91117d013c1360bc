package llama

import (
	"math"

	. "github.com/gomlx/gomlx/pkg/core/graph" //nolint:staticcheck // gomlx graph code reads as formulas

	"prunellm/models"
	"prunellm/models/arch"
)

// activate returns the activation of the gate z, in its shape.
func activate(c models.Config, z *Node) *Node {
	if c.Activation() == arch.GELU {
		return Mul(z, normalCDF(geluTanh(z)))
	}
	return Mul(z, Sigmoid(z))
}

// activationAndSlope returns the activation of the gate z and its derivative.
func activationAndSlope(c models.Config, z *Node) (value, slope *Node) {
	if c.Activation() == arch.GELU {
		// With t = tanh(u), gelu'(z) = (1+t)/2 + z/2 (1-t^2) u', and u' = k (1 + 3 a z^2).
		t := geluTanh(z)
		phi := normalCDF(t)
		inner := MulScalar(AddScalar(MulScalar(Square(z), 3*geluCubic), 1), geluFactor)
		return Mul(z, phi), Add(phi, Mul(MulScalar(z, 0.5), Mul(OneMinus(Square(t)), inner)))
	}
	// silu'(z) = s + z s (1-s) = s + silu(z) (1-s) with s = sigmoid(z).
	sigmoid := Sigmoid(z)
	silu := Mul(z, sigmoid)
	return silu, Add(sigmoid, Mul(silu, OneMinus(sigmoid)))
}

// The constants of GELU's approximation (Hendrycks and Gimpel 2016): z/2 (1 + tanh(k (z + a z^3))).
const geluCubic = 0.044715

var geluFactor = math.Sqrt(2 / math.Pi)

func geluTanh(z *Node) *Node {
	return Tanh(MulScalar(Mul(z, AddScalar(MulScalar(Square(z), geluCubic), 1)), geluFactor))
}

// normalCDF returns (1+t)/2.
func normalCDF(t *Node) *Node { return MulScalar(AddScalar(t, 1), 0.5) }
