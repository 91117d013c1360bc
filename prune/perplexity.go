package prune

import (
	"context"

	"github.com/gomlx/gomlx/backends"

	"prunellm/models"
	"prunellm/models/llama"
)

// CrossEntropy runs sequences through a model, dense or Pruned, and returns the mean cross entropy of each in nats per
// token; the first token of a sequence has none. The exponential of the mean over sequences is the perplexity.
func CrossEntropy(ctx context.Context, backend backends.Backend, weights models.Weights, sequences [][]int32,
	progress func(Progress)) (losses []float64, err error) {
	defer llama.Guard(&err)
	if err := checkSequences(weights.Config(), sequences); err != nil {
		return nil, err
	}
	m, err := llama.New(backend, weights.Config())
	if err != nil {
		return nil, err
	}
	defer m.Close()
	head, err := m.LoadHead(weights, llama.Float32)
	if err != nil {
		return nil, err
	}
	defer head.Release()
	program, err := lossProgram(m, lossKind{})
	if err != nil {
		return nil, err
	}
	total := 0
	for _, tokens := range sequences {
		total += len(tokens)
	}
	meter := newMeter("evaluate", total, m.Config().Layers, progress)
	hidden, err := llama.Hidden(ctx, m, head, weights, sequences, func(int) { meter.add(total) })
	if err != nil {
		return nil, err
	}
	all, _, err := headLoss(ctx, m, program, head, lossInput{sequences: sequences, student: hidden})
	if err != nil {
		return nil, err
	}
	for _, loss := range all {
		losses = append(losses, loss.CrossEntropy)
	}
	return losses, nil
}
