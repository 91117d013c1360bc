package llama

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/gomlx/gomlx/pkg/core/dtypes"
	"github.com/gomlx/gomlx/pkg/core/shapes"

	"prunellm/models"
)

func shapeOf(dimensions []int) shapes.Shape { return shapes.Make(dtypes.Float32, dimensions...) }

// countingWeights has the values 0, 1, 2, ... in every tensor and can fail at one layer.
type countingWeights struct {
	config models.Config
	fail   int // layer whose tensors are missing; -1 if there is none
	wrong  bool
}

func (w countingWeights) Config() models.Config { return w.config }

func (w countingWeights) Tensor(role models.Role, layer int) ([]float32, []int, error) {
	if role.PerLayer() && layer == w.fail {
		return nil, nil, models.ErrNoTensor
	}
	m := &Model{config: w.config}
	shape := m.fileShape(role, layer)
	switch role {
	case models.TokenEmbedding, models.Output:
		shape = []int{w.config.VocabSize, w.config.HiddenSize}
	case models.OutputNorm:
		shape = []int{w.config.HiddenSize}
	}
	if w.wrong {
		shape[0]++
	}
	values := make([]float32, shapeOf(shape).Size())
	for i := range values {
		values[i] = float32(i)
	}
	return values, shape, nil
}

func TestHalvesFromPairs(t *testing.T) {
	// Two heads of five rows, four of which RoPE rotates; one column.
	got := halvesFromPairs([]float32{0, 1, 2, 3, 4, 10, 11, 12, 13, 14}, 2, 5, 4)
	want := []float32{0, 2, 1, 3, 4, 10, 12, 11, 13, 14}
	if !slices.Equal(got, want) {
		t.Errorf("halvesFromPairs = %v, want %v", got, want)
	}
}

func TestTransposeValues(t *testing.T) {
	const rows, columns = 37, 70
	values := make([]float32, rows*columns)
	for i := range values {
		values[i] = float32(i)
	}
	got := TransposeValues(values, rows, columns)
	for r := range rows {
		for c := range columns {
			if got[c*rows+r] != values[r*columns+c] {
				t.Fatalf("element (%d, %d) is %g, want %g", c, r, got[c*rows+r], values[r*columns+c])
			}
		}
	}
}

func TestLoadLayerRemovesAndPads(t *testing.T) {
	c := testConfig()
	m, err := New(goBackend(t), c)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	removed := make([]bool, 7)
	removed[2] = true
	layer, err := m.LoadLayer(countingWeights{config: c, fail: -1}, 0, LayerOptions{Removed: removed, PadFFN: 4})
	if err != nil {
		t.Fatal(err)
	}
	defer layer.Release()
	if layer.Width != 8 {
		t.Errorf("width = %d, want 8", layer.Width)
	}
	down, err := Download[float32](layer.args[downField])
	if err != nil {
		t.Fatal(err)
	}
	for i, value := range down {
		neuron, element := i/c.HiddenSize, i%c.HiddenSize
		want := float32(element*7 + neuron)
		if neuron == 2 || neuron == 7 {
			want = 0
		}
		if value != want {
			t.Fatalf("down[%d, %d] = %g, want %g", neuron, element, value, want)
		}
	}
}

func TestLayersKeepsWhatItLoaded(t *testing.T) {
	c := testConfig()
	c.Layers, c.FFN = 3, []int{7, 7, 7}
	m, err := New(goBackend(t), c)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for _, keep := range []bool{true, false} {
		layers := m.Layers(countingWeights{config: c, fail: -1}, nil, keep)
		defer layers.Release()
		seen := map[int]map[*Layer]bool{0: {}, 1: {}, 2: {}}
		for _, order := range [][]int{{1}, Ascending(3), Descending(3)} {
			var visited []int
			if err := layers.Each(t.Context(), order, func(l *Layer) error {
				visited = append(visited, l.Index)
				seen[l.Index][l] = true
				return nil
			}); err != nil || !slices.Equal(visited, order) {
				t.Errorf("keep %v: visited %v, error %v, want %v", keep, visited, err, order)
			}
		}
		want := 3
		if keep {
			want = 1
		}
		if n := len(seen[1]); n != want {
			t.Errorf("keep %v: layer 1 was loaded %d times, want %d", keep, n, want)
		}
	}
}

func TestEachLayer(t *testing.T) {
	c := testConfig()
	c.Layers, c.FFN = 3, []int{7, 7, 7}
	m, err := New(goBackend(t), c)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	good := countingWeights{config: c, fail: -1}
	t.Run("order", func(t *testing.T) {
		var visited []int
		err := m.EachLayer(t.Context(), good, Descending(3), nil, func(l *Layer) error {
			visited = append(visited, l.Index)
			return nil
		})
		if err != nil || !slices.Equal(visited, []int{2, 1, 0}) {
			t.Errorf("visited %v, error %v", visited, err)
		}
	})
	t.Run("missing tensor", func(t *testing.T) {
		visited := 0
		err := m.EachLayer(t.Context(), countingWeights{config: c, fail: 1}, Ascending(3), nil, func(*Layer) error {
			visited++
			return nil
		})
		if !errors.Is(err, models.ErrNoTensor) || visited != 1 {
			t.Errorf("error = %v after %d layers, want ErrNoTensor after 1", err, visited)
		}
	})
	t.Run("wrong shape", func(t *testing.T) {
		if _, err := m.LoadLayer(countingWeights{config: c, fail: -1, wrong: true}, 0, LayerOptions{}); err == nil {
			t.Error("LoadLayer accepts a tensor of the wrong shape")
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		visited := 0
		err := m.EachLayer(ctx, good, Ascending(3), nil, func(*Layer) error {
			visited++
			cancel()
			return ctx.Err()
		})
		if !errors.Is(err, context.Canceled) || visited != 1 {
			t.Errorf("error = %v after %d layers, want context.Canceled after 1", err, visited)
		}
	})
}

func TestPadLength(t *testing.T) {
	seen := map[int]bool{}
	for n := 1; n <= 4096; n++ {
		padded := PadLength(n)
		if padded < n || padded > max(n+8, n*5/4) {
			t.Fatalf("PadLength(%d) = %d", n, padded)
		}
		seen[padded] = true
	}
	if len(seen) > 40 {
		t.Errorf("%d different lengths up to 4096, want at most 40", len(seen))
	}
}

func TestEmbedRefusesBadTokens(t *testing.T) {
	c := testConfig()
	c.TiedEmbeddings = true
	tied, err := New(goBackend(t), c)
	if err != nil {
		t.Fatal(err)
	}
	defer tied.Close()
	head, err := tied.LoadHead(countingWeights{config: c, fail: -1}, Float32)
	if err != nil {
		t.Fatal(err)
	}
	defer head.Release()
	for _, tokens := range [][]int32{nil, {-1}, {11}, make([]int32, 65)} {
		if _, err := tied.Embed(head, tokens); !errors.Is(err, ErrTokens) {
			t.Errorf("Embed(%d tokens) error = %v, want ErrTokens", len(tokens), err)
		}
	}
}
