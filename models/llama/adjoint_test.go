package llama

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/gomlx/gomlx/backends"
	"github.com/gomlx/gomlx/backends/simplego"
	. "github.com/gomlx/gomlx/pkg/core/graph" //nolint:staticcheck // gomlx graph code reads as formulas
	"github.com/gomlx/gomlx/pkg/core/tensors"

	"prunellm/models"
	"prunellm/models/arch"
)

// testConfig describes the smallest model that has grouped heads and elements of a head that RoPE does not rotate.
func testConfig() models.Config {
	return models.Config{
		Architecture: "llama", Name: "test", VocabSize: 11, HiddenSize: 8, Layers: 1, Heads: 4, KVHeads: 2, HeadDim: 6,
		FFN: []int{7}, ContextLength: 64, RMSEpsilon: 1e-5, RoPEBase: 100, RoPEDim: 4, RoPELayout: arch.RoPEHalves,
	}
}

func goBackend(t testing.TB) backends.Backend {
	t.Helper()
	backend, err := simplego.New("ops_sequential") // the default hangs on few cores
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(backend.Finalize)
	return backend
}

// checkGradients compares gradients with central differences in float64. function must return a scalar, then its
// gradients with respect to its first arguments.
func checkGradients(t *testing.T, function func(args []*Node) []*Node, shapes [][]int) {
	t.Helper()
	exec, err := NewExec(goBackend(t), function)
	if err != nil {
		t.Fatal(err)
	}
	defer exec.Finalize()
	random := rand.New(rand.NewPCG(1, 2))
	values := make([][]float64, len(shapes))
	for i, shape := range shapes {
		size := 1
		for _, d := range shape {
			size *= d
		}
		values[i] = make([]float64, size)
		for j := range values[i] {
			values[i][j] = random.NormFloat64()
		}
	}
	run := func() []*tensors.Tensor {
		args := make([]any, len(shapes))
		for i, shape := range shapes {
			args[i] = tensors.FromFlatDataAndDimensions(values[i], shape...)
		}
		results, err := exec.Exec(args...)
		if err != nil {
			t.Fatal(err)
		}
		return results
	}
	results := run()
	const h = 1e-5
	for i, result := range results[1:] {
		got, err := Download[float64](result)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != len(values[i]) {
			t.Fatalf("gradient %d has %d values, want %d", i, len(got), len(values[i]))
		}
		for j := range got {
			old := values[i][j]
			values[i][j] = old + h
			above := run()[0].Value().(float64)
			values[i][j] = old - h
			below := run()[0].Value().(float64)
			values[i][j] = old
			want := (above - below) / (2 * h)
			// The error of the difference itself is about h^2 + 1e-16/h.
			if math.Abs(got[j]-want) > 1e-6*(1+math.Abs(want)) {
				t.Fatalf("gradient %d at %d = %g, finite difference is %g", i, j, got[j], want)
			}
		}
	}
}

// testRoPE returns the tables of the given angles, and the window of a layer with one.
func testRoPE(c models.Config, angle *Node) RoPE {
	rope := RoPE{Cos: Cos(angle), Sin: Sin(angle)}
	if c.Window > 0 {
		rope.Window = Const(angle.Graph(), int32(c.Window)) //nolint:gosec // a few tokens
	}
	return rope
}

func TestLayerGradients(t *testing.T) {
	tests := map[string]func(*models.Config){
		"llama":       func(*models.Config) {},
		"one kv head": func(c *models.Config) { c.KVHeads = 1 },
		"no groups":   func(c *models.Config) { c.KVHeads = 4 },
		"whole head":  func(c *models.Config) { c.RoPEDim = 6 },
		"biases":      func(c *models.Config) { c.AttentionBias = true },
		"norms":       func(c *models.Config) { c.QKNorm = true },
		"gemma3":      func(c *models.Config) { c.Architecture, c.QKNorm, c.PostNorms = "gemma3", true, true },
		"window":      func(c *models.Config) { c.Architecture, c.QKNorm, c.PostNorms, c.Window = "gemma3", true, true, 3 },
		"window of 1": func(c *models.Config) { c.Architecture, c.Window = "gemma3", 1 },

		"one block of queries": func(*models.Config) {},
		"two sequences":        func(c *models.Config) { c.QKNorm, c.AttentionBias = true, true },
	}
	const tokens = 5
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			c := testConfig()
			change(&c)
			if name != "one block of queries" {
				defer func(size int) { queryBlock = size }(queryBlock)
				queryBlock = 2
			}
			rows := tokens
			if name == "two sequences" {
				rows = 2 * tokens
			}
			fields := blockFields(c)
			// x, gate, up and down come first, for checkGradients.
			shapes := [][]int{{rows, c.HiddenSize}, {7, c.HiddenSize}, {7, c.HiddenSize}, {7, c.HiddenSize},
				{rows, c.HiddenSize}, {tokens, c.RoPEDim / 2}}
			for _, field := range fields {
				shapes = append(shapes, field.shape(c, 7))
			}
			checkGradients(t, func(args []*Node) []*Node {
				b := blockFromNodes(c, args[6:])
				b.Gate, b.Up, b.Down = args[1], args[2], args[3]
				angle := args[5]
				rope := testRoPE(c, angle)
				x, weights := args[0], args[4]
				trace := Forward(c, b, rope, x)
				again := Resume(c, b, rope, x, SavedNodes(trace.Nodes()))
				grads := Backward(c, b, rope, again, weights)
				return []*Node{ReduceAllSum(Mul(trace.Out, weights)), grads.X, grads.Gate, grads.Up, grads.Down}
			}, shapes)
		})
	}
}

// TestSequencesTogether compares the results of sequences in one batch with the results of each sequence alone.
func TestSequencesTogether(t *testing.T) {
	defer func(size int) { queryBlock = size }(queryBlock)
	queryBlock = 2
	c := testConfig()
	c.QKNorm, c.AttentionBias = true, true
	const tokens, sequences = 5, 3
	fields := blockFields(c)
	shapes := [][]int{{tokens, c.RoPEDim / 2}}
	for _, field := range fields {
		shapes = append(shapes, field.shape(c, 7))
	}
	for range 2 * sequences {
		shapes = append(shapes, []int{tokens, c.HiddenSize})
	}
	random := rand.New(rand.NewPCG(5, 6))
	args := make([]any, len(shapes))
	for i, shape := range shapes {
		values := make([]float64, shape[0]*append(shape, 1)[1])
		for j := range values {
			values[j] = random.NormFloat64()
		}
		args[i] = tensors.FromFlatDataAndDimensions(values, shape...)
	}
	exec, err := NewExec(goBackend(t), func(args []*Node) []*Node {
		rope := testRoPE(c, args[0])
		b, x, dy := blockFromNodes(c, args[1:]), args[1+len(fields):][:sequences], args[1+len(fields)+sequences:]
		run := func(x, dy []*Node) (results []*Node) {
			trace := Forward(c, b, rope, Concatenate(x, 0))
			grads := Backward(c, b, rope, trace, Concatenate(dy, 0))
			for _, joined := range []*Node{trace.Out, grads.X} {
				for i := range x {
					results = append(results, SliceAxis(joined, 0, AxisRange(i*tokens, (i+1)*tokens)))
				}
			}
			return results
		}
		together := run(x, dy)
		var differences []*Node
		for i := range x {
			for j, alone := range run(x[i:i+1], dy[i:i+1]) {
				difference := Sub(together[j*sequences+i], alone)
				differences = append(differences, ReduceAllMax(Abs(difference)), ReduceAllMax(Abs(alone)))
			}
		}
		return differences
	})
	if err != nil {
		t.Fatal(err)
	}
	defer exec.Finalize()
	results, err := exec.Exec(args...)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(results); i += 2 {
		if difference, size := results[i].Value().(float64), results[i+1].Value().(float64); !(difference <= 1e-12*size) || size == 0 {
			t.Errorf("result %d of sequence %d differs by %g, values are up to %g", i/2%2, i/2/2, difference, size)
		}
	}
}

// TestWeightGradients checks the gradients of all weights of a layer.
func TestWeightGradients(t *testing.T) {
	tests := map[string]func(*models.Config){
		"biases and norms": func(c *models.Config) { c.AttentionBias, c.QKNorm = true, true },
		"post norms":       func(c *models.Config) { c.Architecture, c.QKNorm, c.PostNorms, c.Window = "gemma3", true, true, 2 },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			c := testConfig()
			change(&c)
			checkWeightGradients(t, c)
		})
	}
}

func checkWeightGradients(t *testing.T, c models.Config) {
	t.Helper()
	const tokens = 4
	var shapes [][]int
	fields := blockFields(c)
	for _, field := range fields {
		shapes = append(shapes, field.shape(c, 7))
	}
	shapes = append(shapes, []int{tokens, c.HiddenSize}, []int{tokens, c.HiddenSize}, []int{tokens, c.RoPEDim / 2})
	checkGradients(t, func(args []*Node) []*Node {
		b := blockFromNodes(c, args[:len(fields)])
		x, weights, angle := args[len(fields)], args[len(fields)+1], args[len(fields)+2]
		rope := testRoPE(c, angle)
		trace := Forward(c, b, rope, x)
		grads := Backward(c, b, rope, trace, weights)
		results := []*Node{ReduceAllSum(Mul(trace.Out, weights))}
		for _, field := range fields {
			gradient := grads.Vectors[field.role]
			if gradient == nil {
				gradient = grads.Factors[field.role].Gradient()
			}
			gradient.AssertDims(field.shape(c, 7)...)
			results = append(results, gradient)
		}
		return results
	}, shapes)
}

func TestHeadWeightGradients(t *testing.T) {
	c := testConfig()
	shapes := [][]int{{c.HiddenSize}, {c.VocabSize, c.HiddenSize}, {3, c.HiddenSize}, {3, c.VocabSize}}
	checkGradients(t, func(args []*Node) []*Node {
		h := &HeadBlock{Norm: args[0], Output: args[1]}
		trace := HeadForward(c, h, args[2])
		norm, output := HeadWeightGradients(h, trace, args[3])
		return []*Node{ReduceAllSum(Mul(trace.Logits, args[3])), norm, output}
	}, shapes)
}

// TestFileValues checks that FileValues is the inverse of loading.
func TestFileValues(t *testing.T) {
	c := testConfig()
	c.RoPELayout, c.AttentionBias, c.QKNorm, c.PostNorms = arch.RoPEPairs, true, true, true
	m, err := New(goBackend(t), c)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for _, role := range Roles(c) {
		values := make([]float32, tensors.FromShape(shapeOf(m.fileShape(role, 0))).Size())
		for i := range values {
			values[i] = float32(i)
		}
		want := append([]float32(nil), values...)
		got := m.FileValues(0, role, m.GraphValues(0, role, values, LayerOptions{PadFFN: 16}))
		if !slices.Equal(got, want) {
			t.Errorf("%s came back as %v, want %v", models.TensorName(role, 0), got, want)
		}
	}
}

// TestActivationGradient replaces the input of down by an argument and compares gradients with respect to it.
func TestActivationGradient(t *testing.T) {
	for _, architecture := range []string{"llama", "gemma3"} {
		c := testConfig()
		c.Architecture, c.PostNorms = architecture, architecture == "gemma3"
		const tokens = 4
		shapes := [][]int{{tokens, 7}, {tokens, c.HiddenSize}, {tokens, c.HiddenSize}, {tokens, c.RoPEDim / 2}}
		for _, field := range blockFields(c) {
			shapes = append(shapes, field.shape(c, 7))
		}
		checkGradients(t, func(args []*Node) []*Node {
			b := blockFromNodes(c, args[4:])
			rope := testRoPE(c, args[3])
			trace := Forward(c, b, rope, args[1])
			trace.Activation = args[0]
			trace.Out, trace.ffnPostNorm = addMLP(c, b, trace.Mid, trace.Activation)
			grads := Backward(c, b, rope, trace, args[2])
			return []*Node{ReduceAllSum(Mul(trace.Out, args[2])), grads.Activation}
		}, shapes)
	}
}

func TestHeadGradient(t *testing.T) {
	c := testConfig()
	shapes := [][]int{{3, c.HiddenSize}, {3, c.VocabSize}, {c.HiddenSize}, {c.VocabSize, c.HiddenSize}}
	checkGradients(t, func(args []*Node) []*Node {
		h := &HeadBlock{Norm: args[2], Output: args[3]}
		trace := HeadForward(c, h, args[0])
		return []*Node{ReduceAllSum(Mul(trace.Logits, args[1])), HeadBackward(h, trace, args[1], nil)}
	}, shapes)
}

// TestPadding checks that padding after a sequence does not change the results for its tokens.
func TestPadding(t *testing.T) {
	c := testConfig()
	random := rand.New(rand.NewPCG(3, 4))
	m, err := New(goBackend(t), c)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	program, err := m.LayerProgram("forward", func(b *Block, rope RoPE, args []*Node) []*Node {
		return []*Node{Forward(c, b, rope, args[0]).Out}
	})
	if err != nil {
		t.Fatal(err)
	}
	layer := &Layer{}
	for _, field := range blockFields(c) {
		values := make([]float32, tensors.FromShape(shapeOf(field.shape(c, 7))).Size())
		for i := range values {
			values[i] = float32(random.NormFloat64())
		}
		uploaded, err := m.Upload(values, field.shape(c, 7)...)
		if err != nil {
			t.Fatal(err)
		}
		layer.args = append(layer.args, uploaded)
	}
	defer layer.Release()
	short := make([]float32, 3*c.HiddenSize)
	for i := range short {
		short[i] = float32(random.NormFloat64())
	}
	long := append(append([]float32(nil), short...), make([]float32, 5*c.HiddenSize)...)
	for i := len(short); i < len(long); i++ {
		long[i] = float32(random.NormFloat64())
	}
	run := func(values []float32) []float32 {
		x, err := m.Upload(values, len(values)/c.HiddenSize, c.HiddenSize)
		if err != nil {
			t.Fatal(err)
		}
		results, err := program.Run(layer, x)
		if err != nil {
			t.Fatal(err)
		}
		out, err := Download[float32](results[0])
		if err != nil {
			t.Fatal(err)
		}
		return out[:len(short)]
	}
	a, b := run(short), run(long)
	for i := range a {
		// Sums of another length add in another order, so float32 rounding differs.
		if math.Abs(float64(a[i]-b[i])) > 1e-4*(1+math.Abs(float64(a[i]))) {
			t.Fatalf("value %d is %g alone and %g with padding", i, a[i], b[i])
		}
	}
}
