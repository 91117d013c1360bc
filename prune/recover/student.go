package recover

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/gomlx/gomlx/backends"
	"github.com/gomlx/gomlx/pkg/core/tensors"

	"prunellm/models"
	"prunellm/models/llama"
)

// ffnPadding is the multiple to which layer widths are padded, so that layers of many widths share few compiled programs.
// Padding neurons are zero in all three matrices, so their gradients are zero and they remain zero.
const ffnPadding = 128

// trained is one trained tensor and its moments, on the device.
type trained struct{ value, first, second *tensors.Tensor }

// student is the pruned model on the device with the tensors of its training. It belongs to one goroutine.
type student struct {
	options   Options
	precision llama.Precision
	model     *llama.Model
	head      *llama.Head
	layers    []*llama.Layer
	roles     []models.Role
	state     [][]trained       // [layers][tensors]; without LoRA one for each role, whose value is the layer's weight
	norms     []*tensors.Tensor // [layers] running mean of the gradient's norm, float32[]

	forward  *llama.LayerProgram // x, factors -> y, llama.Saved
	backward *llama.LayerProgram // x, dy, rates, norm, llama.Saved, factors, moments -> dx, norm, values, moments
	merge    *llama.LayerProgram // x, factors -> weights; only for LoRA
	plain    *llama.LayerProgram // x -> y, with a layer's weights and no factors
}

func newStudent(backend backends.Backend, slim models.Weights, options Options) (s *student, err error) {
	c := slim.Config()
	s = &student{options: options, precision: options.Precision.On(backend, false), roles: options.roles(c)}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.model, err = llama.New(backend, c); err != nil {
		return nil, err
	}
	if s.head, err = s.model.LoadHead(slim, s.precision); err != nil {
		return nil, err
	}
	for i := range c.Layers {
		layer, err := s.model.LoadLayer(slim, i, llama.LayerOptions{PadFFN: ffnPadding})
		if err != nil {
			return nil, err
		}
		s.layers = append(s.layers, layer)
		if err := s.begin(layer); err != nil {
			return nil, err
		}
	}
	return s, s.compile()
}

// lora reports whether factors are trained instead of the weights themselves.
func (s *student) lora() bool { return s.options.Train == LoRA }

// begin creates the trained tensors of a layer: for LoRA a random factor float32[rank, in] and a factor of zeros
// float32[out, rank] for each role.
func (s *student) begin(layer *llama.Layer) error {
	var state []trained
	add := func(value *tensors.Tensor, dimensions []int) error {
		size := 1
		for _, d := range dimensions {
			size *= d
		}
		first, err := s.model.Upload(make([]float32, size), dimensions...)
		if err != nil {
			return err
		}
		second, err := s.model.Upload(make([]float32, size), dimensions...)
		state = append(state, trained{value, first, second})
		return err
	}
	random := rand.New(rand.NewPCG(s.options.Seed, uint64(layer.Index)+1<<32))
	for _, role := range s.roles {
		weight := s.model.Weight(layer, role)
		dimensions := weight.Shape().Dimensions
		if !s.lora() {
			if err := add(weight, dimensions); err != nil {
				return err
			}
			continue
		}
		in, out := []int{s.options.Rank, dimensions[1]}, []int{dimensions[0], s.options.Rank}
		values := make([]float32, in[0]*in[1])
		for i := range values {
			values[i] = float32((2*random.Float64() - 1) / math.Sqrt(float64(in[1])))
		}
		a, err := s.model.Upload(values, in...)
		if err != nil {
			return err
		}
		if err := add(a, in); err != nil {
			return err
		}
		b, err := s.model.Upload(make([]float32, out[0]*out[1]), out...)
		if err != nil {
			return err
		}
		if err := add(b, out); err != nil {
			return err
		}
	}
	norm, err := s.model.Upload([]float32{0})
	s.state, s.norms = append(s.state, state), append(s.norms, norm)
	return err
}

// factors returns a layer's trained values if they are not its weights.
func (s *student) factors(layer int) []*tensors.Tensor {
	if !s.lora() {
		return nil
	}
	var factors []*tensors.Tensor
	for _, t := range s.state[layer] {
		factors = append(factors, t.value)
	}
	return factors
}

// passed holds the results of a forward pass of one sequence on the device.
type passed struct {
	inputs llama.States        // [layers+1]: input of each layer and of the head, float32[padded, e]
	saved  [][]*tensors.Tensor // [layers]: as llama.Saved lists them
}

// release frees everything. It is idempotent.
func (p *passed) release() {
	p.inputs.Release()
	for _, all := range p.saved {
		llama.Release(all...)
	}
	p.saved = nil
}

// run runs a sequence forward. The caller releases the result, also with an error.
func (s *student) run(ctx context.Context, tokens []int32) (left *passed, err error) {
	left = &passed{}
	x, err := s.model.Embed(s.head, tokens)
	if err != nil {
		return left, err
	}
	left.inputs = llama.States{x}
	for _, layer := range s.layers {
		if err := ctx.Err(); err != nil {
			return left, err
		}
		results, err := s.forward.Run(layer, append([]*tensors.Tensor{x}, s.factors(layer.Index)...)...)
		if err != nil {
			return left, err
		}
		x = results[0]
		left.inputs, left.saved = append(left.inputs, x), append(left.saved, results[1:])
	}
	return left, nil
}

// train runs the layers backward with the gradient of the last hidden states, float32[padded, e], and updates each layer. It
// releases the forward pass's results.
func (s *student) train(ctx context.Context, left *passed, gradient []float32, rates []float32) error {
	defer left.release()
	size := s.model.Config().HiddenSize
	dy, err := s.model.Upload(gradient, len(gradient)/size, size)
	if err != nil {
		return err
	}
	defer func() { llama.Release(dy) }()
	numbers, err := s.model.Upload(rates, len(rates))
	if err != nil {
		return err
	}
	defer llama.Release(numbers)
	for i := len(s.layers) - 1; i >= 0; i-- {
		if err := ctx.Err(); err != nil {
			return err
		}
		left.inputs.Replace(i+1, nil)
		args := append([]*tensors.Tensor{left.inputs[i], dy, numbers, s.norms[i]}, left.saved[i]...)
		args = append(args, s.factors(i)...)
		for _, t := range s.state[i] {
			args = append(args, t.first, t.second)
		}
		results, err := s.backward.Run(s.layers[i], args...)
		if err != nil {
			return err
		}
		llama.Release(dy, s.norms[i])
		dy, s.norms[i] = results[0], results[1]
		for j, rest := 0, results[2:]; len(rest) > 0; j, rest = j+1, rest[3:] {
			s.replace(i, j, trained{rest[0], rest[1], rest[2]})
		}
		llama.Release(left.saved[i]...)
		left.saved[i] = nil
	}
	return nil
}

// replace replaces a layer's trained tensors by new ones and frees the old ones.
func (s *student) replace(layer, i int, t trained) {
	old := s.state[layer][i]
	llama.Release(old.first, old.second)
	if s.lora() {
		llama.Release(old.value)
	} else {
		s.model.SetWeight(s.layers[layer], s.roles[i], t.value)
	}
	s.state[layer][i] = t
}

// weights returns a layer's trained weights in the form of models.Weights, factors merged, by role.
func (s *student) weights(layer int) (map[models.Role][]float32, error) {
	tensorsOf := make([]*tensors.Tensor, len(s.roles))
	if s.lora() {
		x, err := s.model.Upload(make([]float32, 8*s.model.Config().HiddenSize), 8, s.model.Config().HiddenSize)
		if err != nil {
			return nil, err
		}
		defer llama.Release(x)
		merged, err := s.merge.Run(s.layers[layer], append([]*tensors.Tensor{x}, s.factors(layer)...)...)
		if err != nil {
			return nil, err
		}
		defer llama.Release(merged...)
		tensorsOf = merged
	} else {
		for i := range s.roles {
			tensorsOf[i] = s.state[layer][i].value
		}
	}
	out := map[models.Role][]float32{}
	for i, role := range s.roles {
		values, err := llama.Download[float32](tensorsOf[i])
		if err != nil {
			return nil, fmt.Errorf("layer %d: %w", layer, err)
		}
		out[role] = s.model.FileValues(layer, role, values)
	}
	return out, nil
}

// each visits all tensors of the training's state by name. The callback may replace them if the caller then calls
// settle.
func (s *student) each(visit func(name string, tensor **tensors.Tensor)) {
	for layer, state := range s.state {
		for i := range state {
			name := fmt.Sprintf("layer.%d.%d.", layer, i)
			visit(name+"value", &state[i].value)
			visit(name+"first", &state[i].first)
			visit(name+"second", &state[i].second)
		}
		visit(fmt.Sprintf("layer.%d.norm", layer), &s.norms[layer])
	}
}

// settle makes trained values the layers' weights again after each replaced them.
func (s *student) settle() {
	if s.lora() {
		return
	}
	for layer, state := range s.state {
		for i, role := range s.roles {
			s.model.TakeWeight(s.layers[layer], role, state[i].value)
		}
	}
}

func (s *student) close() {
	for layer, state := range s.state {
		for _, t := range state {
			llama.Release(t.first, t.second)
			if s.lora() {
				llama.Release(t.value)
			}
		}
		if layer < len(s.norms) {
			llama.Release(s.norms[layer])
		}
	}
	for _, layer := range s.layers {
		layer.Release()
	}
	if s.head != nil {
		s.head.Release()
	}
	if s.model != nil {
		s.model.Close()
	}
}
