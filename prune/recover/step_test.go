package recover

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/gomlx/gomlx/backends/simplego"
	"github.com/gomlx/gomlx/pkg/core/graph"
	"github.com/gomlx/gomlx/pkg/core/tensors"

	"prunellm/internal/tinymodel"
	"prunellm/models/llama"
)

// TestUpdate compares AdamW and the clipping with plain arithmetic over some steps. The gradient of one step is clipped.
func TestUpdate(t *testing.T) {
	backend, err := simplego.New("ops_sequential")
	if err != nil {
		t.Fatal(err)
	}
	defer backend.Finalize()
	const clip, decay, rate = 2, 0.1, 0.01
	exec, err := graph.NewExec(backend, func(args []*graph.Node) []*graph.Node {
		moved, norm := update([]parameter{{args[0], args[1], args[2], args[3]}}, args[4], args[5], clip, decay)
		return []*graph.Node{moved[0].value, moved[0].first, moved[0].second, norm}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer exec.Finalize()
	random := rand.New(rand.NewPCG(1, 1))
	value, m, v, norm := make([]float64, 6), make([]float64, 6), make([]float64, 6), 0.0
	single := func(x []float64) *tensors.Tensor {
		out := make([]float32, len(x))
		for i := range x {
			out[i] = float32(x[i])
		}
		return tensors.FromFlatDataAndDimensions(out, 2, 3)
	}
	for i := range value {
		value[i] = random.NormFloat64()
	}
	for step := 1; step <= 5; step++ {
		gradient := make([]float64, 6)
		length := 0.0
		for i := range gradient {
			gradient[i] = random.NormFloat64()
			if step == 4 {
				gradient[i] *= 100
			}
			length += gradient[i] * gradient[i]
		}
		length = math.Sqrt(length)
		results, err := exec.Exec(single(value), single(gradient), single(m), single(v),
			tensors.FromFlatDataAndDimensions(rates(rate, step), 3), float32(norm))
		if err != nil {
			t.Fatal(err)
		}
		scale := 1.0
		if step > 1 {
			scale = min(1, clip*norm/length)
			norm = 0.9*norm + 0.1*scale*length
		} else {
			norm = length
		}
		if (step == 4) != (scale < 0.5) {
			t.Fatalf("step %d is scaled by %g: the test is to clip step 4", step, scale)
		}
		for i := range value {
			g := gradient[i] * scale
			m[i] = 0.9*m[i] + 0.1*g
			v[i] = 0.99*v[i] + 0.01*g*g
			value[i] -= rate * (m[i]/(1-math.Pow(0.9, float64(step)))/(math.Sqrt(v[i]/(1-math.Pow(0.99, float64(step))))+1e-8) + decay*value[i])
		}
		for j, want := range [][]float64{value, m, v, {norm}} {
			got := results[j].Value()
			var flat []float32
			switch x := got.(type) {
			case float32:
				flat = []float32{x}
			case [][]float32:
				flat = append(append(flat, x[0]...), x[1]...)
			}
			for i := range want {
				if math.Abs(float64(flat[i])-want[i]) > 1e-5*(1+math.Abs(want[i])) { // float32
					t.Fatalf("step %d: result %d at %d is %g, want %g", step, j, i, flat[i], want[i])
				}
			}
		}
	}
}

func TestSchedule(t *testing.T) {
	o := Options{LearningRate: 2, Tokens: 1}.withDefaults()
	for done, want := range map[float64]float64{0: 0.04, 0.025: 1, 0.05: 2, 0.525: 2 * 0.51, 1: 0.04, 2: 0.04} {
		if got := o.rateAt(done); math.Abs(got-want) > 1e-9 {
			t.Errorf("rateAt(%g) = %g, want %g", done, got, want)
		}
	}
}

// TestWholeGradient moves each trained tensor a little along the gradient of a training step, and checks that the loss changes
// as the gradient predicts. This checks the whole chain of head and layers, not only each part.
func TestWholeGradient(t *testing.T) {
	gemma := tinymodel.Options{Architecture: "gemma3", Layers: 6, Window: 4}
	for name, test := range map[string]struct {
		train Train
		model tinymodel.Options
	}{"all": {All, tinymodel.Options{}}, "lora": {LoRA, tinymodel.Options{}}, "all of gemma3": {All, gemma}, "lora of gemma3": {LoRA, gemma}} {
		train := test.train
		t.Run(name, func(t *testing.T) {
			teacher := test.model
			teacher.Seed = 1
			model, dense := tinymodel.Open(t, test.model), tinymodel.Open(t, teacher)
			backend, err := simplego.New("ops_sequential")
			if err != nil {
				t.Fatal(err)
			}
			defer backend.Finalize()
			options := Options{Train: train, Tokens: 1, CrossEntropy: 0.3, HeldOut: 1}.withDefaults()
			tokens := []int32{5, 80, 17, 200, 33, 9, 141}
			x, err := newTrainer(backend, dense, model, [][]int32{tokens, tokens}, options, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer x.close()
			perturbFactors(t, x.student)
			loss := func() (float64, *passed, []float32) {
				teacher, err := x.teacher.hidden(t.Context(), []int{0})
				if err != nil {
					t.Fatal(err)
				}
				left, err := x.student.run(t.Context(), tokens)
				if err != nil {
					t.Fatal(err)
				}
				last, err := llama.Download[float32](left.inputs[len(left.inputs)-1])
				if err != nil {
					t.Fatal(err)
				}
				f, gradient, err := x.loss.run(tokens, last, teacher, true)
				if err != nil {
					t.Fatal(err)
				}
				return 0.7*f.KL + 0.3*f.CrossEntropy, left, gradient
			}
			_, left, gradient := loss()
			// A learning rate of zero does not change the weights. The first moments are then a tenth of the gradients.
			if err := x.student.train(t.Context(), left, gradient, rates(0, 1)); err != nil {
				t.Fatal(err)
			}
			for layer, state := range x.student.state {
				for i := range state {
					first, err := llama.Download[float32](state[i].first)
					if err != nil {
						t.Fatal(err)
					}
					checkDirection(t, x.student, layer, i, first, func() float64 { l, _, _ := loss(); return l })
				}
			}
		})
	}
}

// perturbFactors sets some values of the factors that begin as zeros, because the gradients of the other factors would
// otherwise be zero.
func perturbFactors(t *testing.T, s *student) {
	t.Helper()
	if !s.lora() {
		return
	}
	random := rand.New(rand.NewPCG(2, 2))
	for layer := range s.state {
		for i := 1; i < len(s.state[layer]); i += 2 {
			old := s.state[layer][i]
			values := make([]float32, old.value.Size())
			for j := range values {
				values[j] = float32(0.1 * random.NormFloat64())
			}
			value, err := s.model.Upload(values, old.value.Shape().Dimensions...)
			if err != nil {
				t.Fatal(err)
			}
			llama.Release(old.value)
			s.state[layer][i].value = value
		}
	}
}

// checkDirection moves one trained tensor by h along its gradient, both ways.
func checkDirection(t *testing.T, s *student, layer, i int, first []float32, loss func() float64) {
	t.Helper()
	square := 0.0
	for _, v := range first {
		square += 100 * float64(v) * float64(v)
	}
	length := math.Sqrt(square)
	values, err := llama.Download[float32](s.state[layer][i].value)
	if err != nil {
		t.Fatal(err)
	}
	const h = 5e-3
	at := func(sign float64) float64 {
		moved := make([]float32, len(values))
		for j := range values {
			moved[j] = values[j] + float32(sign*h*10*float64(first[j])/length)
		}
		tensor, err := s.model.Upload(moved, s.state[layer][i].value.Shape().Dimensions...)
		if err != nil {
			t.Fatal(err)
		}
		llama.Release(s.state[layer][i].value)
		s.state[layer][i].value = tensor
		s.settle()
		return loss()
	}
	change := (at(1) - at(-1)) / (2 * h)
	at(0)
	// The rounding error of the loss in float32 is about 1e-6, divided by 2h. The third derivative adds to it.
	if math.Abs(change-length) > 0.02*length+1e-3 {
		t.Errorf("layer %d, tensor %d: the loss changes by %g along the gradient, whose length is %g", layer, i, change, length)
	}
}
