package prune

import (
	"fmt"
	"slices"

	"prunellm/models"
)

// Pruned returns a model pruned by a plan. The MLP tensors have the kept neurons, in order; all other tensors are the dense
// model's. down, if not nil, replaces the down projections by refitted ones, float32[layers][hidden*width] (rows of length
// width), as Reconstruct returns them. nil for a layer keeps the dense model's weights.
func Pruned(dense models.Weights, plan *Plan, down [][]float32) (models.Weights, error) {
	config := dense.Config()
	if err := plan.Check(config); err != nil {
		return nil, err
	}
	if down != nil && len(down) != config.Layers {
		return nil, fmt.Errorf("%d refitted matrices for %d layers", len(down), config.Layers)
	}
	for layer, values := range down {
		if want := config.HiddenSize * len(plan.Kept[layer]); values != nil && len(values) != want {
			return nil, fmt.Errorf("refitted down of layer %d has %d values instead of %d", layer, len(values), want)
		}
	}
	config.FFN = plan.Widths()
	return &prunedWeights{dense: dense, config: config, plan: plan, down: down}, nil
}

type prunedWeights struct {
	dense  models.Weights
	config models.Config
	plan   *Plan
	down   [][]float32
}

// Config implements models.Weights; FFN holds the kept widths.
func (p *prunedWeights) Config() models.Config { return p.config }

// Tensor implements models.Weights.
func (p *prunedWeights) Tensor(role models.Role, layer int) ([]float32, []int, error) {
	switch role {
	case models.FFNGate, models.FFNUp, models.FFNDown:
	default:
		return p.dense.Tensor(role, layer)
	}
	hidden, kept, width := p.config.HiddenSize, p.plan.Kept[layer], p.plan.Dense[layer]
	if role == models.FFNDown && p.down != nil && p.down[layer] != nil {
		return slices.Clone(p.down[layer]), []int{hidden, len(kept)}, nil
	}
	values, _, err := p.dense.Tensor(role, layer)
	if err != nil {
		return nil, nil, err
	}
	if len(values) != hidden*width {
		return nil, nil, fmt.Errorf("tensor %s has %d values instead of %d", models.TensorName(role, layer), len(values), hidden*width)
	}
	if role == models.FFNDown {
		return selectColumns(values, width, kept), []int{hidden, len(kept)}, nil
	}
	return selectRows(values, hidden, kept), []int{len(kept), hidden}, nil
}

// selectRows gathers rows of float32[rows, columns].
func selectRows(values []float32, columns int, rows []int) []float32 {
	out := make([]float32, 0, len(rows)*columns)
	for _, row := range rows {
		out = append(out, values[row*columns:(row+1)*columns]...)
	}
	return out
}

// selectColumns gathers columns of float32[rows, width].
func selectColumns(values []float32, width int, columns []int) []float32 {
	out := make([]float32, 0, len(values)/width*len(columns))
	for start := 0; start < len(values); start += width {
		row := values[start : start+width]
		for _, column := range columns {
			out = append(out, row[column])
		}
	}
	return out
}
