package llama

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/gomlx/gomlx/backends/simplego"
	. "github.com/gomlx/gomlx/pkg/core/graph" //nolint:staticcheck // gomlx graph code reads as formulas
	"github.com/gomlx/gomlx/pkg/core/tensors"
)

// drawn returns the tokens that Draw samples from logits, float32[rows, vocab].
func drawn(t *testing.T, logits [][]float32, uniform []float32) []int32 {
	t.Helper()
	backend, err := simplego.New("ops_sequential") // the default hangs with few cores
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(backend.Finalize)
	tokens, err := ExecOnce(backend, func(logits, uniform *Node) *Node { return NewDistribution(logits).Draw(uniform) },
		tensors.FromValue(logits), tensors.FromFlatDataAndDimensions(uniform, len(uniform), 1))
	if err != nil {
		t.Fatal(err)
	}
	values, err := Download[int32](tokens)
	if err != nil {
		t.Fatal(err)
	}
	return values
}

// TestDraw compares draws with the inverse of the cumulative distribution in float64. It uses vocabularies of one
// block, of several blocks, and of several blocks and part of one. If a number is within float32 rounding of a border
// between two tokens, either token is right.
func TestDraw(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for _, vocab := range []int{1, 7, 256, 300, 1024} {
		var logits [][]float32
		var uniform []float32
		for range 200 {
			row := make([]float32, vocab)
			for i := range row {
				row[i] = float32(4 * random.NormFloat64())
			}
			logits, uniform = append(logits, row), append(uniform, random.Float32())
		}
		uniform[0], uniform[1] = 0, 1-1.0/(1<<24)
		for i, token := range drawn(t, logits, uniform) {
			var sum, before, after float64
			for v, x := range logits[i] {
				if int32(v) == token {
					before, after = sum, sum+math.Exp(float64(x))
				}
				sum += math.Exp(float64(x))
			}
			const rounding = 1e-5
			if u := float64(uniform[i]); !(u > before/sum-rounding && u < after/sum+rounding) {
				t.Errorf("vocabulary of %d, row %d: %g draws token %d, which has [%g, %g)", vocab, i, u, token, before/sum, after/sum)
			}
		}
	}
}

// Draw never returns a token with probability zero: not at 0, not at the largest number below 1, and not next to a
// border.
func TestDrawLeavesOutTokensWithoutMass(t *testing.T) {
	const vocab, only = 600, 300
	row := make([]float32, vocab)
	for i := range row {
		row[i] = -1000
	}
	row[only], row[only+2] = 2, 2
	logits, uniform := [][]float32{}, []float32{0, 0.25, 0.5, 0.75, 1 - 1.0/(1<<24)}
	for range uniform {
		logits = append(logits, row)
	}
	for i, token := range drawn(t, logits, uniform) {
		if want := int32(only); token != want && token != want+2 {
			t.Errorf("%g draws token %d, want %d or %d", uniform[i], token, want, want+2)
		}
	}
}
