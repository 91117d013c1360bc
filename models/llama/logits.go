package llama

import (
	"context"
	"fmt"

	"github.com/gomlx/gomlx/backends"
	"github.com/gomlx/gomlx/pkg/core/graph"

	"prunellm/models"
)

// ffnPadding is the multiple to which a forward pass of a whole model rounds layer widths up. Pruned layers of many
// widths then share few compiled programs.
const ffnPadding = 128

// Hidden runs sequences through the model layer by layer and returns the hidden states that enter the head,
// float32[tokens, e] for each sequence. If progress is not nil, Hidden calls it after each layer.
func Hidden(ctx context.Context, m *Model, head *Head, w models.Weights, sequences [][]int32, progress func(layer int)) (
	hidden [][]float32, err error) {
	defer Guard(&err)
	forward, err := m.LayerProgram("forward", func(b *Block, rope RoPE, args []*graph.Node) []*graph.Node {
		return []*graph.Node{Forward(m.config, b, rope, args[0]).Out}
	})
	if err != nil {
		return nil, err
	}
	states, err := NewStates(m, head, sequences)
	if err != nil {
		return nil, err
	}
	defer states.Release()
	options := func(int) LayerOptions { return LayerOptions{PadFFN: ffnPadding} }
	err = m.EachLayer(ctx, w, Ascending(m.config.Layers), options, func(layer *Layer) error {
		for i, x := range states {
			if err := ctx.Err(); err != nil {
				return err
			}
			results, err := forward.Run(layer, x)
			if err != nil {
				return err
			}
			states.Replace(i, results[0])
		}
		if progress != nil {
			progress(layer.Index)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return states.Download(m.config, sequences)
}

// Logits runs one sequence through the model and returns float32[vocab] for every token. It holds all logits in memory,
// so use it to compare this graph with another engine and not for long texts.
func Logits(ctx context.Context, backend backends.Backend, w models.Weights, tokens []int32) (logits [][]float32, err error) {
	defer Guard(&err)
	m, err := New(backend, w.Config())
	if err != nil {
		return nil, err
	}
	defer m.Close()
	head, err := m.LoadHead(w, Float32)
	if err != nil {
		return nil, err
	}
	defer head.Release()
	hidden, err := Hidden(ctx, m, head, w, [][]int32{tokens}, nil)
	if err != nil {
		return nil, fmt.Errorf("logits: %w", err)
	}
	program, err := m.HeadProgram("logits", func(h *HeadBlock, args []*graph.Node) []*graph.Node {
		return []*graph.Node{HeadForward(m.config, h, args[0]).Logits}
	})
	if err != nil {
		return nil, err
	}
	size, chunk := m.config.HiddenSize, BudgetOf(m.backend).HeadChunk(m.config)
	for from := 0; from < len(tokens); from += chunk {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		rows := make([]float32, chunk*size)
		copied := copy(rows, hidden[0][from*size:])
		values, err := runRows(m, program, head, rows, chunk)
		if err != nil {
			return nil, err
		}
		for row := range copied / size {
			logits = append(logits, values[row*m.config.VocabSize:(row+1)*m.config.VocabSize])
		}
	}
	return logits, nil
}

func runRows(m *Model, program *HeadProgram, head *Head, rows []float32, count int) ([]float32, error) {
	x, err := m.Upload(rows, count, m.config.HiddenSize)
	if err != nil {
		return nil, err
	}
	defer release(x)
	results, err := program.Run(head, x)
	if err != nil {
		return nil, err
	}
	defer release(results...)
	return Download[float32](results[0])
}
