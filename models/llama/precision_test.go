//go:build cgo

package llama

import (
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"testing"

	. "github.com/gomlx/gomlx/pkg/core/graph" //nolint:staticcheck // gomlx graph code reads as formulas
	"github.com/gomlx/gomlx/pkg/core/tensors"

	"prunellm/internal/xla"
	"prunellm/internal/xla/xlatest"
)

// TestMixedPrecision compares a layer's forward and backward pass in bfloat16 with the same in float32. Each matmul
// rounds to 8 bits, an error of at most 2^-9 per factor. Errors of successive matmuls add up, and the softmax of large
// scores amplifies them. XLA may round less on a CPU without bfloat16 instructions.
func TestMixedPrecision(t *testing.T) {
	backend, err := xla.Open(slog.Default(), xlatest.Options(os.Getenv))
	if err != nil {
		t.Fatal(err)
	}
	defer backend.Finalize()
	c := testConfig()
	c.QKNorm, c.AttentionBias = true, true
	for _, tokens := range []int{8, 7} { // an odd length takes another path to the gradients of weights
		shapes := [][]int{{tokens, c.HiddenSize}, {tokens, c.HiddenSize}, {tokens, c.RoPEDim / 2}, {tokens, c.RoPEDim / 2}}
		for _, field := range blockFields(c) {
			shapes = append(shapes, field.shape(c, 7))
		}
		random := rand.New(rand.NewPCG(3, 4))
		args := make([]any, len(shapes))
		for i, shape := range shapes {
			size := 1
			for _, d := range shape {
				size *= d
			}
			values := make([]float32, size)
			for j := range values {
				values[j] = float32(random.NormFloat64())
			}
			args[i] = tensors.FromFlatDataAndDimensions(values, shape...)
		}
		var results [2][]*tensors.Tensor
		for i, p := range []Precision{Float32, BFloat16} {
			exec, err := NewExec(backend, func(args []*Node) []*Node {
				b := blockFromNodes(c, args[4:]).In(p)
				if isNarrow(b.Gate) != (p == BFloat16) || isNarrow(b.FFNNorm) {
					t.Errorf("in precision %q gate is %s and its norm %s", p, b.Gate.DType(), b.FFNNorm.DType())
				}
				rope := RoPE{Cos: args[2], Sin: args[3]}
				trace := Forward(c, b, rope, args[0])
				grads := Backward(c, b, rope, trace, args[1])
				all := []*Node{trace.Out, grads.X}
				for _, role := range matrices {
					all = append(all, grads.Factors[role].Gradient())
				}
				return all
			})
			if err != nil {
				t.Fatal(err)
			}
			defer exec.Finalize()
			if results[i], err = exec.Exec(args...); err != nil {
				t.Fatal(err)
			}
		}
		for i := range results[0] {
			want, err := Download[float32](results[0][i])
			if err != nil {
				t.Fatal(err)
			}
			got, err := Download[float32](results[1][i])
			if err != nil {
				t.Fatal(err)
			}
			if len(got) != len(want) {
				t.Fatalf("result %d has %d values, want %d", i, len(got), len(want))
			}
			var difference, norm float64
			for j := range want {
				difference += math.Pow(float64(got[j]-want[j]), 2)
				norm += math.Pow(float64(want[j]), 2)
			}
			if relative := math.Sqrt(difference / norm); !(relative <= 0.05) {
				t.Errorf("%d tokens, result %d: relative error %g, want at most 0.05", tokens, i, relative)
			}
		}
	}
}

func TestPrecision(t *testing.T) {
	for _, p := range []Precision{AutoPrecision, Float32, BFloat16} {
		if err := p.Validate(); err != nil {
			t.Error(err)
		}
		if narrow := len(p.Narrow()) > 0; narrow != (p == BFloat16) {
			t.Errorf("%q narrows matrices: %t", p, narrow)
		}
	}
	if err := Precision("fp8").Validate(); err == nil {
		t.Error("fp8 is accepted as a precision")
	}
}

// TestRoundNarrow compares rounding on the host with rounding on the device in edge cases.
func TestRoundNarrow(t *testing.T) {
	backend, err := xla.Open(slog.Default(), xlatest.Options(os.Getenv))
	if err != nil {
		t.Fatal(err)
	}
	defer backend.Finalize()
	var values []float32
	for _, high := range []uint32{0, 0x3f80, 0x3f81, 0x4049, 0x7f7f, 0x0080, 0x8000, 0xbf80, 0xbf81, 0xff7f, 0x7f80, 0xff80} {
		for _, low := range []uint32{0, 1, 0x7fff, 0x8000, 0x8001, 0xffff} {
			if value := math.Float32frombits(high<<16 | low); value == value {
				values = append(values, value)
			}
		}
	}
	exec, err := NewExec(backend, func(args []*Node) []*Node { return []*Node{widen(narrow(args[0]))} })
	if err != nil {
		t.Fatal(err)
	}
	defer exec.Finalize()
	result, err := exec.Exec1(tensors.FromFlatDataAndDimensions(values, len(values)))
	if err != nil {
		t.Fatal(err)
	}
	want, err := Download[float32](result)
	if err != nil {
		t.Fatal(err)
	}
	for i, got := range roundNarrow(values) {
		if got.Float32() != want[i] {
			t.Errorf("%g (%#x) is rounded to %g, by the device to %g", values[i], math.Float32bits(values[i]), got.Float32(), want[i])
		}
	}
	for _, bits := range []uint32{0x7f800001, 0xff80ffff, 0x7fffffff} {
		if got := roundNarrow([]float32{math.Float32frombits(bits)})[0].Float32(); got == got {
			t.Errorf("NaN %#x is rounded to %g", bits, got)
		}
	}
}
