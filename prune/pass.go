package prune

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/gomlx/gomlx/pkg/core/tensors"
	"golang.org/x/sync/errgroup"

	"prunellm/models"
	"prunellm/models/llama"
)

// A pass runs one group of sequences forward and backward through all layers.

// group is a list of sequences whose hidden states between layers fit the budget together.
type group struct {
	first     int // place of the first sequence in the calibration text
	sequences [][]int32
	teacher   [][]float32 // the dense model's last hidden states, kept from stage 1, on the host
	losses    []Loss
}

// groupTokens returns how many tokens fit a budget of bytes: each layer's input and, with matmuls, the results of its
// matmuls.
func groupTokens(config models.Config, budget int64, matmuls bool) int {
	values := config.HiddenSize * (config.Layers + 1)
	if matmuls {
		for _, width := range config.FFN {
			values += llama.SavedValues(config, width)
		}
	}
	return int(budget / int64(4*values))
}

// groupSequences divides the sequences, in order, into groups of bounded size.
func groupSequences(config models.Config, bytes int64, matmuls bool, sequences [][]int32) []group {
	budget := groupTokens(config, bytes, matmuls)
	var groups []group
	used := 0
	for i, tokens := range sequences {
		length := llama.PadLength(len(tokens))
		if len(groups) == 0 || used+length > budget {
			groups = append(groups, group{first: i})
			used = 0
		}
		last := &groups[len(groups)-1]
		last.sequences = append(last.sequences, tokens)
		used += length
	}
	return groups
}

// pass runs one group forward and backward and adds its importances to the sums. Without removed neurons it is stage 1, which
// keeps the last hidden states as the teacher's; with removed neurons it is stage 2.
func (s *scorer) pass(ctx context.Context, g *group, removed [][]bool) error {
	kept, err := s.runForward(ctx, g)
	defer kept.release()
	if err != nil {
		return err
	}
	last := kept.inputs[s.model.Config().Layers]
	program, alpha := s.stage1, 0.0
	if removed != nil {
		program, alpha = s.stage2, s.recipe.Alpha
	}
	loss := s.lossByChunks
	if longest := slices.MaxFunc(g.sequences, func(a, b []int32) int { return len(a) - len(b) }); s.budget.Workers > 1 &&
		llama.PadLength(len(longest)) <= s.budget.HeadChunk(s.model.Config()) {
		loss = s.lossBySequence
	}
	dy, err := loss(ctx, program, g, last, alpha)
	defer dy.Release()
	if err != nil {
		return err
	}
	for i, loss := range g.losses {
		if !loss.finite() {
			return fmt.Errorf("loss of sequence %d is %g: %w%s", i, loss.CrossEntropy, ErrNotFinite, blame(kept.inputs))
		}
	}
	if s.hidden == nil || removed != nil {
		last.Release()
		return s.runBackward(ctx, g, kept, dy)
	}
	s.hidden.take(len(kept.inputs)-2, last)
	kept.hidden = s.hidden
	return s.runBackward(ctx, g, kept, dy)
}

// kept holds the forward pass's results on the device for the backward pass.
type kept struct {
	inputs []llama.States        // [layers+1][sequences]: input of each layer, and the last layer's results
	saved  [][][]*tensors.Tensor // [layers][sequences]: as llama.Saved lists them; empty where the backward pass recomputes it
	hidden *Hidden               // takes the inputs of all but the first layer after use; nil: release frees them
}

// release frees everything. It is idempotent.
func (k *kept) release() {
	k.hidden = nil
	for layer := range k.inputs {
		k.releaseLayer(layer)
	}
}

// releaseLayer frees what one layer needs. It is idempotent.
func (k *kept) releaseLayer(layer int) {
	if k.hidden != nil && layer > 0 {
		k.hidden.take(layer-1, k.inputs[layer])
	}
	k.inputs[layer].Release()
	if layer < len(k.saved) {
		for _, all := range k.saved[layer] {
			llama.Release(all...)
		}
		k.saved[layer] = nil
	}
}

// runForward returns the states for the backward pass, also with an error.
func (s *scorer) runForward(ctx context.Context, g *group) (left *kept, err error) {
	left = &kept{}
	x, err := llama.NewStates(s.model, s.head, g.sequences)
	if err != nil {
		return left, err
	}
	left.inputs = append(left.inputs, x)
	return left, s.layers.Each(ctx, llama.Ascending(s.model.Config().Layers), func(layer *llama.Layer) error {
		next, saved := make(llama.States, len(x)), make([][]*tensors.Tensor, len(x))
		left.inputs, left.saved = append(left.inputs, next), append(left.saved, saved)
		before := x
		x = next
		return s.each(ctx, len(before), func(i int) (func() error, error) {
			results, err := s.forward.Run(layer, before[i])
			if err != nil {
				return nil, err
			}
			next[i], saved[i] = results[0], results[1:]
			return func() error { s.meter.add(len(g.sequences[i])); return nil }, nil
		})
	})
}

// runBackward runs the layers from last to first with the gradients of the last hidden states, dy, which it frees.
func (s *scorer) runBackward(ctx context.Context, g *group, left *kept, dy llama.States) error {
	return s.layers.Each(ctx, llama.Descending(s.model.Config().Layers), func(layer *llama.Layer) error {
		inputs, saved := left.inputs[layer.Index], left.saved[layer.Index]
		err := s.each(ctx, len(inputs), func(i int) (func() error, error) {
			results, err := s.backward.Run(layer, append([]*tensors.Tensor{inputs[i], dy[i]}, saved[i]...)...)
			if err != nil {
				return nil, err
			}
			dy.Replace(i, results[0])
			values, err := llama.Download[float32](results[1])
			llama.Release(results[1])
			return func() error {
				s.meter.add(2 * len(g.sequences[i]))
				return s.accumulate(layer.Index, values, len(g.sequences[i]))
			}, err
		})
		left.releaseLayer(layer.Index)
		return err
	})
}

// each calls work for 0 to n-1, in parallel if the device has its own memory. It calls the functions that work returns one
// after another in order, so that sums do not depend on scheduling.
func (s *scorer) each(ctx context.Context, n int, work func(i int) (then func() error, err error)) error {
	if s.budget.Workers <= 1 {
		for i := range n {
			if err := ctx.Err(); err != nil {
				return err
			}
			then, err := work(i)
			if err == nil {
				err = then()
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	then := make([]func() error, n)
	all, ctx := errgroup.WithContext(ctx)
	all.SetLimit(s.budget.Workers)
	for i := range n {
		all.Go(func() (err error) {
			defer llama.Guard(&err)
			if err := ctx.Err(); err != nil {
				return context.Cause(ctx)
			}
			then[i], err = work(i)
			return err
		})
	}
	if err := all.Wait(); err != nil {
		return err
	}
	for _, f := range then {
		if err := f(); err != nil {
			return err
		}
	}
	return nil
}

// accumulate adds one sequence's importances to the layer's sums.
func (s *scorer) accumulate(layer int, values []float32, length int) error {
	scale := importanceScale * math.Pow(float64(length), float64(s.criterion.lengthPower))
	for neuron := range s.sums[layer] {
		value := float64(values[neuron])
		if math.IsNaN(value) || math.IsInf(value, 0) {
			return fmt.Errorf("importance of neuron %d in layer %d is %g: %w", neuron, layer, value, ErrNotFinite)
		}
		s.sums[layer][neuron] += scale * value
	}
	return nil
}

// blame names the first layer with NaN or infinity in its results, from the hidden states of the forward pass.
func blame(inputs []llama.States) string {
	for layer, states := range inputs {
		for _, x := range states {
			values, err := llama.Download[float32](x)
			if err == nil && allFinite(values) {
				continue
			}
			if layer == 0 {
				return " (first in the token embeddings)"
			}
			return fmt.Sprintf(" (first in layer %d)", layer-1)
		}
	}
	return " (first in the head)"
}

func allFinite(values []float32) bool {
	for _, v := range values {
		if v != v || math.IsInf(float64(v), 0) {
			return false
		}
	}
	return true
}
