package llama

import (
	"fmt"

	"github.com/gomlx/gomlx/pkg/core/tensors"

	"prunellm/models"
)

// States holds the hidden states of several sequences on the device, float32[padded length, e] for each.
type States []*tensors.Tensor

// NewStates returns the states before the first layer, which are the embeddings of the sequences.
func NewStates(m *Model, head *Head, sequences [][]int32) (States, error) {
	states := make(States, 0, len(sequences))
	for i, tokens := range sequences {
		x, err := m.Embed(head, tokens)
		if err != nil {
			states.Release()
			return nil, fmt.Errorf("sequence %d: %w", i, err)
		}
		states = append(states, x)
	}
	return states, nil
}

// Replace sets a sequence's tensor and frees the old one.
func (s States) Replace(i int, x *tensors.Tensor) {
	release(s[i])
	s[i] = x
}

// Release frees all tensors. It is idempotent.
func (s States) Release() {
	for i := range s {
		s.Replace(i, nil)
	}
}

// Download copies the states to the host without their padding: float32[tokens, e] for each sequence.
func (s States) Download(c models.Config, sequences [][]int32) ([][]float32, error) {
	hidden := make([][]float32, len(s))
	for i, x := range s {
		values, err := Download[float32](x)
		if err != nil {
			return nil, err
		}
		hidden[i] = values[:len(sequences[i])*c.HiddenSize]
	}
	return hidden, nil
}

// Ascending returns the layer numbers from first to last.
func Ascending(layers int) []int {
	order := make([]int, layers)
	for i := range order {
		order[i] = i
	}
	return order
}

// Descending returns the layer numbers from last to first.
func Descending(layers int) []int {
	order := Ascending(layers)
	for i := range order {
		order[i] = layers - 1 - i
	}
	return order
}
