package prune

import (
	"context"
	"fmt"
	"math"

	"prunellm/models"
)

// magnitude returns the mean absolute value of each neuron's weights, float32[layers][f].
func magnitude(ctx context.Context, weights models.Weights) (scores [][]float32, err error) {
	c := weights.Config()
	for layer := range c.Layers {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		sums := make([]float64, c.FFN[layer])
		for _, role := range []models.Role{models.FFNGate, models.FFNUp, models.FFNDown} {
			values, _, err := weights.Tensor(role, layer)
			if err != nil {
				return nil, fmt.Errorf("score: %w", err)
			}
			if len(values) != len(sums)*c.HiddenSize {
				return nil, fmt.Errorf("score: tensor %s has %d values instead of %d", models.TensorName(role, layer), len(values),
					len(sums)*c.HiddenSize)
			}
			for i, value := range values {
				neuron := i / c.HiddenSize
				if role == models.FFNDown {
					neuron = i % len(sums)
				}
				sums[neuron] += math.Abs(float64(value))
			}
		}
		row := make([]float32, len(sums))
		for neuron, sum := range sums {
			row[neuron] = float32(sum / float64(3*c.HiddenSize))
		}
		if !allFinite(row) {
			return nil, fmt.Errorf("score: weights of layer %d: %w", layer, ErrNotFinite)
		}
		scores = append(scores, row)
	}
	return scores, nil
}
