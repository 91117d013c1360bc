package llama

import (
	"fmt"
	"slices"

	"github.com/gomlx/gomlx/pkg/core/graph"
	"github.com/gomlx/gomlx/pkg/core/tensors"

	"prunellm/models"
	"prunellm/models/arch"
)

// Layer holds the weights of one decoder layer on the device. Its owner must call Release.
type Layer struct {
	Index int // number of the layer in the model
	Width int // number of MLP neurons on the device, padding included
	args  []*tensors.Tensor
}

// LayerOptions are the options of LoadLayer.
type LayerOptions struct {
	// Removed, if not nil, marks neurons to switch off: bool[width]. Their columns of down become zero. The results and
	// gradients are the same as without the neurons, and the compiled shape stays the same.
	Removed []bool
	// PadFFN rounds the width up to a multiple of it by adding neurons with zero weights. Layers of many widths then
	// share few compiled shapes. 0 keeps the width.
	PadFFN int
	// Narrow lists the matrices to round to bfloat16, which halves their memory.
	Narrow []models.Role
}

// blockField pairs the role of a weight with its field in a Block.
type blockField struct {
	role  models.Role
	node  func(*Block) **graph.Node
	shape func(c models.Config, width int) []int
}

// downField is the index of FFNDown in blockFields.
const downField = 8

// blockFields lists the weights of a layer of this architecture in the order of a program's arguments.
func blockFields(c models.Config) []blockField {
	queries, keys := c.Heads*c.HeadDim, c.KVHeads*c.HeadDim
	shape := func(dimensions ...int) func(models.Config, int) []int {
		return func(models.Config, int) []int { return dimensions }
	}
	ffn := func(c models.Config, width int) []int { return []int{width, c.HiddenSize} }
	fields := []blockField{
		{models.AttnNorm, func(b *Block) **graph.Node { return &b.AttnNorm }, shape(c.HiddenSize)},
		{models.AttnQ, func(b *Block) **graph.Node { return &b.Q }, shape(queries, c.HiddenSize)},
		{models.AttnK, func(b *Block) **graph.Node { return &b.K }, shape(keys, c.HiddenSize)},
		{models.AttnV, func(b *Block) **graph.Node { return &b.V }, shape(keys, c.HiddenSize)},
		{models.AttnOutput, func(b *Block) **graph.Node { return &b.O }, shape(c.HiddenSize, queries)},
		{models.FFNNorm, func(b *Block) **graph.Node { return &b.FFNNorm }, shape(c.HiddenSize)},
		{models.FFNGate, func(b *Block) **graph.Node { return &b.Gate }, ffn},
		{models.FFNUp, func(b *Block) **graph.Node { return &b.Up }, ffn},
		{models.FFNDown, func(b *Block) **graph.Node { return &b.Down }, ffn},
	}
	if c.AttentionBias {
		fields = append(fields,
			blockField{models.AttnQBias, func(b *Block) **graph.Node { return &b.QBias }, shape(queries)},
			blockField{models.AttnKBias, func(b *Block) **graph.Node { return &b.KBias }, shape(keys)},
			blockField{models.AttnVBias, func(b *Block) **graph.Node { return &b.VBias }, shape(keys)})
	}
	if c.QKNorm {
		fields = append(fields,
			blockField{models.AttnQNorm, func(b *Block) **graph.Node { return &b.QNorm }, shape(c.HeadDim)},
			blockField{models.AttnKNorm, func(b *Block) **graph.Node { return &b.KNorm }, shape(c.HeadDim)})
	}
	if c.PostNorms {
		fields = append(fields,
			blockField{models.AttnPostNorm, func(b *Block) **graph.Node { return &b.AttnPostNorm }, shape(c.HiddenSize)},
			blockField{models.FFNPostNorm, func(b *Block) **graph.Node { return &b.FFNPostNorm }, shape(c.HiddenSize)})
	}
	return fields
}

// blockFromNodes returns the leading arguments of a program as a Block.
func blockFromNodes(c models.Config, nodes []*graph.Node) *Block {
	b := &Block{}
	for i, field := range blockFields(c) {
		*field.node(b) = nodes[i]
	}
	return b
}

// LoadLayer uploads one layer's weights.
func (m *Model) LoadLayer(w models.Weights, layer int, opts LayerOptions) (*Layer, error) {
	c := m.config
	width := c.FFN[layer]
	if opts.Removed != nil && len(opts.Removed) != width {
		return nil, fmt.Errorf("load layer %d: Removed has %d entries for %d neurons", layer, len(opts.Removed), width)
	}
	padded := roundUp(width, max(opts.PadFFN, 1))
	loaded := &Layer{Index: layer, Width: padded}
	for _, field := range blockFields(c) {
		values, err := m.loadBlockTensor(w, field.role, layer, opts)
		if err != nil {
			loaded.Release()
			return nil, fmt.Errorf("load layer %d: %w", layer, err)
		}
		precision := Float32
		if slices.Contains(opts.Narrow, field.role) {
			precision = BFloat16
		}
		t, err := m.UploadIn(precision, values, field.shape(c, padded)...)
		if err != nil {
			loaded.Release()
			return nil, fmt.Errorf("load layer %d: %w", layer, err)
		}
		loaded.args = append(loaded.args, t)
	}
	return loaded, nil
}

// Down returns the transposed matrix of the down projection on the device, [Width, e]. It belongs to the layer.
func (l *Layer) Down() *tensors.Tensor { return l.args[downField] }

// Release frees the device memory. It is idempotent.
func (l *Layer) Release() {
	release(l.args...)
	l.args = nil
}

// Roles returns the roles of the weights of a layer in an architecture.
func Roles(c models.Config) []models.Role {
	var roles []models.Role
	for _, field := range blockFields(c) {
		roles = append(roles, field.role)
	}
	return roles
}

// Weight returns a pointer to one of the block's weights.
func (b *Block) Weight(role models.Role) **graph.Node {
	for _, field := range blockFields(models.Config{AttentionBias: true, QKNorm: true, PostNorms: true}) {
		if field.role == role {
			return field.node(b)
		}
	}
	panic(fmt.Errorf("a layer has no %s", models.TensorName(role, 0)))
}

// place returns the index of the tensor with that role among a layer's tensors.
func (m *Model) place(role models.Role) int {
	return slices.IndexFunc(blockFields(m.config), func(f blockField) bool { return f.role == role })
}

// Weight returns a layer's tensor on the device in the form that the graph uses: down transposed, the MLP padded, the
// rows of q and k in RoPEHalves. It belongs to the layer.
func (m *Model) Weight(layer *Layer, role models.Role) *tensors.Tensor {
	return layer.args[m.place(role)]
}

// SetWeight replaces a layer's tensor with t, which must have the same shape. The layer owns t. SetWeight frees the old
// tensor.
func (m *Model) SetWeight(layer *Layer, role models.Role, t *tensors.Tensor) {
	release(m.Weight(layer, role))
	m.TakeWeight(layer, role, t)
}

// TakeWeight is like SetWeight, but does not free the old tensor.
func (m *Model) TakeWeight(layer *Layer, role models.Role, t *tensors.Tensor) {
	layer.args[m.place(role)] = t
}

// With returns a copy of layer with some weights replaced. The copy does not own its tensors: do not release it.
func (m *Model) With(layer *Layer, weights map[models.Role]*tensors.Tensor) *Layer {
	other := &Layer{Index: layer.Index, Width: layer.Width, args: slices.Clone(layer.args)}
	for role, t := range weights {
		m.TakeWeight(other, role, t)
	}
	return other
}

// FileValues converts values from the form of Weight to the form of models.Weights. It is the inverse of loading.
func (m *Model) FileValues(layer int, role models.Role, values []float32) []float32 {
	c := m.config
	width, hidden := c.FFN[layer], c.HiddenSize
	switch role {
	case models.FFNGate, models.FFNUp:
		return values[:width*hidden]
	case models.FFNDown:
		return TransposeValues(values[:width*hidden], width, hidden)
	}
	if heads := c.RotatedHeads(role); heads > 0 && c.RoPELayout == arch.RoPEPairs {
		return pairsFromHalves(values, heads, c.HeadDim, c.RoPEDim)
	}
	return values
}

// GraphValues converts values from the form of models.Weights to the form of Weight for a layer that is loaded with
// opts.
func (m *Model) GraphValues(layer int, role models.Role, values []float32, opts LayerOptions) []float32 {
	c := m.config
	width, hidden := c.FFN[layer], c.HiddenSize
	if heads := c.RotatedHeads(role); heads > 0 && c.RoPELayout == arch.RoPEPairs {
		return halvesFromPairs(values, heads, c.HeadDim, c.RoPEDim)
	}
	if role == models.FFNDown {
		values = TransposeValues(values, hidden, width)
		for neuron, removed := range opts.Removed {
			if removed {
				clear(values[neuron*hidden : (neuron+1)*hidden])
			}
		}
	}
	switch role {
	case models.FFNGate, models.FFNUp, models.FFNDown:
		padding := (roundUp(width, max(opts.PadFFN, 1)) - width) * hidden
		values = append(values, make([]float32, padding)...)
	}
	return values
}

// loadBlockTensor reads one tensor of a layer and converts it to the form that the graph uses.
func (m *Model) loadBlockTensor(w models.Weights, role models.Role, layer int, opts LayerOptions) ([]float32, error) {
	values, err := readTensor(w, role, layer, m.fileShape(role, layer))
	if err != nil {
		return nil, err
	}
	return m.GraphValues(layer, role, values, opts), nil
}

// fileShape returns the shape that a layer's tensor has in models.Weights.
func (m *Model) fileShape(role models.Role, layer int) []int {
	if role == models.FFNDown {
		return []int{m.config.HiddenSize, m.config.FFN[layer]}
	}
	for _, field := range blockFields(m.config) {
		if field.role == role {
			return field.shape(m.config, m.config.FFN[layer])
		}
	}
	return nil
}

// readTensor reads a tensor and checks its shape.
func readTensor(w models.Weights, role models.Role, layer int, want []int) ([]float32, error) {
	values, shape, err := w.Tensor(role, layer)
	if err != nil {
		return nil, err
	}
	size := 1
	for _, d := range want {
		size *= d
	}
	if !slices.Equal(shape, want) || len(values) != size {
		return nil, fmt.Errorf("tensor %s has shape %v and %d values instead of shape %v", models.TensorName(role, layer), shape,
			len(values), want)
	}
	return values, nil
}

// TransposeValues transposes float32[rows, columns] to float32[columns, rows]. It works in blocks that fit in the CPU
// cache.
func TransposeValues(values []float32, rows, columns int) []float32 {
	const block = 32
	out := make([]float32, len(values))
	for r0 := 0; r0 < rows; r0 += block {
		for c0 := 0; c0 < columns; c0 += block {
			for r := r0; r < min(r0+block, rows); r++ {
				for c := c0; c < min(c0+block, columns); c++ {
					out[c*rows+r] = values[r*columns+c]
				}
			}
		}
	}
	return out
}

func roundUp(n, multiple int) int { return (n + multiple - 1) / multiple * multiple }
