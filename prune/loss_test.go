package prune

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/gomlx/gomlx/backends/simplego"
	. "github.com/gomlx/gomlx/pkg/core/graph" //nolint:staticcheck // gomlx graph code reads as formulas
	"github.com/gomlx/gomlx/pkg/core/tensors"

	"prunellm/models"
	"prunellm/models/llama"
)

// TestLossGradient compares the gradient of the weighted loss with central differences in float64.
func TestLossGradient(t *testing.T) {
	const tokens, hidden, vocab = 4, 6, 9
	c := models.Config{HiddenSize: hidden, VocabSize: vocab, RMSEpsilon: 1e-5}
	for name, withTeacher := range map[string]bool{"cross entropy": false, "distillation": true} {
		t.Run(name, func(t *testing.T) {
			backend, err := simplego.New("ops_sequential") // the default hangs with few cores
			if err != nil {
				t.Fatal(err)
			}
			defer backend.Finalize()
			exec, err := NewExec(backend, func(args []*Node) []*Node {
				h := &llama.HeadBlock{Norm: args[5], Output: args[6]}
				in := []*Node{args[0], args[2], args[3]}
				if withTeacher {
					in = args[:5]
				}
				results := lossGraph(c, h, in, lossKind{teacher: withTeacher, temperature: 0.2})
				loss := ReduceAllSum(Mul(ExpandAxes(results[1], -1), args[3]))
				if withTeacher {
					loss = Add(loss, ReduceAllSum(Mul(ExpandAxes(results[2], -1), args[4])))
				}
				return []*Node{loss, results[0]}
			})
			if err != nil {
				t.Fatal(err)
			}
			random := rand.New(rand.NewPCG(5, 6))
			draw := func(n int) []float64 {
				values := make([]float64, n)
				for i := range values {
					values[i] = random.NormFloat64()
				}
				return values
			}
			student, teacher := draw(tokens*hidden), draw(tokens*hidden)
			norm, output := draw(hidden), draw(vocab*hidden)
			run := func() (float64, []float64) {
				loss, gradient, err := exec.Exec2(
					tensors.FromFlatDataAndDimensions(student, tokens, hidden),
					tensors.FromFlatDataAndDimensions(teacher, tokens, hidden),
					tensors.FromFlatDataAndDimensions([]int32{1, 8, 0, 0}, tokens, 1),
					tensors.FromFlatDataAndDimensions([]float64{0.2, 0.2, 0.2, 0}, tokens, 1),
					tensors.FromFlatDataAndDimensions([]float64{0.1, 0.1, 0.1, 0.1}, tokens, 1),
					tensors.FromFlatDataAndDimensions(norm, hidden),
					tensors.FromFlatDataAndDimensions(output, vocab, hidden))
				if err != nil {
					t.Fatal(err)
				}
				values, err := llama.Download[float64](gradient)
				if err != nil {
					t.Fatal(err)
				}
				return loss.Value().(float64), values
			}
			_, got := run()
			const h = 1e-5
			for i := range student {
				old := student[i]
				student[i] = old + h
				above, _ := run()
				student[i] = old - h
				below, _ := run()
				student[i] = old
				want := (above - below) / (2 * h)
				if math.Abs(got[i]-want) > 1e-6*(1+math.Abs(want)) {
					t.Fatalf("gradient %d = %g, finite difference is %g", i, got[i], want)
				}
			}
		})
	}
}
