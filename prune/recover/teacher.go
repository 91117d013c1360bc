package recover

import (
	"context"
	"fmt"

	"github.com/gomlx/gomlx/backends"
	. "github.com/gomlx/gomlx/pkg/core/graph" //nolint:staticcheck // gomlx graph code reads as formulas

	"prunellm/models"
	"prunellm/models/llama"
)

// teacherGroup is how many sequences the dense model runs at a time: it reads its weights once for all of them.
const teacherGroup = 16

// teacherBytes bounds the hidden states that the teacher keeps. Each epoch recomputes the rest.
const teacherBytes = 1 << 30

// teacher returns the dense model's last hidden states. The head, which student and teacher share, computes its exact
// distributions from them. It belongs to one goroutine.
type teacher struct {
	model   *llama.Model
	head    *llama.Head // shared with the student
	weights models.Weights
	narrow  []models.Role // of a layer's weights
	forward *llama.LayerProgram
	all     [][]int32
	kept    map[int][]float32 // by sequence, float32[tokens, e]
	bytes   int
}

func newTeacher(backend backends.Backend, dense models.Weights, s *student, all [][]int32) (*teacher, error) {
	m, err := llama.New(backend, dense.Config())
	if err != nil {
		return nil, err
	}
	t := &teacher{
		model: m, head: s.head, weights: dense, narrow: s.precision.Narrow(), all: all, kept: map[int][]float32{},
	}
	t.forward, err = m.LayerProgram("teacher", func(b *llama.Block, rope llama.RoPE, args []*Node) []*Node {
		return []*Node{llama.Forward(dense.Config(), b, rope, args[0]).Out}
	})
	if err != nil {
		m.Close()
		return nil, err
	}
	return t, nil
}

func (t *teacher) close() { t.model.Close() }

// hidden returns the states of the first sequence of next, float32[tokens, e]. It also computes missing states of the
// sequences after it.
func (t *teacher) hidden(ctx context.Context, next []int) ([]float32, error) {
	if states, ok := t.kept[next[0]]; ok {
		return states, nil
	}
	if t.bytes > teacherBytes {
		clear(t.kept)
		t.bytes = 0
	}
	var group []int
	var sequences [][]int32
	for _, i := range next {
		if _, ok := t.kept[i]; !ok && len(group) < teacherGroup {
			group, sequences = append(group, i), append(sequences, t.all[i])
		}
	}
	states, err := llama.NewStates(t.model, t.head, sequences)
	if err != nil {
		return nil, err
	}
	defer states.Release()
	options := func(int) llama.LayerOptions { return llama.LayerOptions{Narrow: t.narrow} }
	err = t.model.EachLayer(ctx, t.weights, llama.Ascending(t.model.Config().Layers), options, func(layer *llama.Layer) error {
		for i, x := range states {
			if err := ctx.Err(); err != nil {
				return err
			}
			results, err := t.forward.Run(layer, x)
			if err != nil {
				return err
			}
			states.Replace(i, results[0])
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("run the dense model: %w", err)
	}
	hidden, err := states.Download(t.model.Config(), sequences)
	if err != nil {
		return nil, err
	}
	for i, sequence := range group {
		t.kept[sequence] = hidden[i]
		t.bytes += 4 * len(hidden[i])
	}
	return t.kept[next[0]], nil
}
