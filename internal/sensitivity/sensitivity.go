// Package sensitivity measures which parts of a model matter least: how its predictions change if a share of one layer's MLP
// neurons, or of its attention heads, is removed.
//
// It uses the serving engine and a copy of the model's file. It zeroes rows of the copy's weights, loads the copy, compares its
// logits with the whole model's, and restores the rows. A neuron whose row of up is zero adds nothing, and neither do the query
// heads of a key-value head whose rows of v are zero. Zeroing therefore equals removing. It works for every tensor type, because
// all bits zero is the value zero in each of ggml's types. Heads that share keys and values are removed together.
//
// It removes the least important neurons and heads. The caller's scores rank neurons. Heads have no scores: they are ranked by
// the norm of their rows of v times the norm of their columns of the output matrix. A better ranking of heads would make their
// figures smaller.
//
// # Concurrency
//
// Measure runs only on the calling goroutine.
package sensitivity

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"

	"prunellm/infer"
	"prunellm/internal/quality"
	"prunellm/models"
	"prunellm/models/gguf"
)

// Row holds the measurements of one layer.
type Row struct {
	Layer         int     `json:"layer"`
	Neurons       int     `json:"neurons_removed"`
	NeuronKL      float64 `json:"neurons_kl"`         // nats per token
	NeuronWeights int64   `json:"neurons_parameters"` // parameters of the removed neurons
	Heads         int     `json:"heads_removed"`      // query heads
	HeadKL        float64 `json:"heads_kl"`
	HeadWeights   int64   `json:"heads_parameters"`
}

// Options choose the parts to remove and the measurement of the rest.
type Options struct {
	Share   float64     // of each layer's neurons and key-value heads to remove, in (0,1); at least one of each
	Scores  [][]float32 // float32[layers][neurons], larger is more important
	Windows [][]infer.Token
	// Open loads the file at a path.
	Open func(path string) (infer.Decoder, error)
	// Done, if set, is called after each of Steps(config) measurements.
	Done func(steps int)
}

// Steps returns the number of measurements for a model.
func Steps(config models.Config) int { return 2 * config.Layers }

// Measure removes parts of the model whose file is at path, one after the other. It changes the file and restores it before it
// returns, so pass a copy.
func Measure(ctx context.Context, model *models.GGUF, path string, whole infer.Decoder, options Options) (rows []Row, err error) {
	config := model.Config()
	if !(options.Share > 0 && options.Share < 1) || len(options.Scores) != config.Layers {
		return nil, fmt.Errorf("sensitivity: share %g is not in (0,1), or scores of %d layers do not fit a model of %d", options.Share, len(options.Scores), config.Layers)
	}
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("sensitivity: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	m := &measurement{ctx: ctx, model: model, file: file, path: path, whole: whole, options: options}
	for layer := range config.Layers {
		row, err := m.layer(layer)
		if err != nil {
			return nil, fmt.Errorf("sensitivity of layer %d: %w", layer, err)
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// measurement is one call of Measure.
type measurement struct {
	ctx     context.Context
	model   *models.GGUF
	file    *os.File
	path    string
	whole   infer.Decoder
	options Options
	steps   int
}

func (m *measurement) layer(layer int) (Row, error) {
	c := m.model.Config()
	row := Row{Layer: layer}
	neurons := least(m.options.Scores[layer], m.options.Share)
	row.Neurons, row.NeuronWeights = len(neurons), int64(3*c.HiddenSize*len(neurons))
	var err error
	if row.NeuronKL, err = m.without(models.FFNUp, layer, neurons); err != nil {
		return row, err
	}
	norms, err := m.headNorms(layer)
	if err != nil {
		return row, err
	}
	heads := least(norms, m.options.Share)
	group := c.Heads / c.KVHeads
	row.Heads = len(heads) * group
	row.HeadWeights = int64(len(heads) * c.HeadDim * c.HiddenSize * 2 * (group + 1)) // q and o of the group, k and v
	var rows []int
	for _, head := range heads {
		for d := range c.HeadDim {
			rows = append(rows, head*c.HeadDim+d)
		}
	}
	row.HeadKL, err = m.without(models.AttnV, layer, rows)
	return row, err
}

// least returns the indices of the share with the lowest scores, at least one, in ascending order.
func least(scores []float32, share float64) []int {
	order := make([]int, len(scores))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(scores[a], scores[b]) })
	order = order[:max(1, int(math.Round(share*float64(len(scores)))))]
	slices.Sort(order)
	return order
}

// headNorms returns the importance of each key-value head, |rows of v| * |columns of the output matrix|, float32[kvHeads].
func (m *measurement) headNorms(layer int) ([]float32, error) {
	c := m.model.Config()
	v, _, err := m.model.Tensor(models.AttnV, layer)
	if err != nil {
		return nil, err
	}
	o, _, err := m.model.Tensor(models.AttnOutput, layer)
	if err != nil {
		return nil, err
	}
	values, outputs := make([]float64, c.KVHeads), make([]float64, c.KVHeads)
	for i, x := range v {
		values[i/c.HiddenSize/c.HeadDim] += float64(x) * float64(x)
	}
	columns, wide := c.Heads*c.HeadDim, c.Heads/c.KVHeads*c.HeadDim
	for i, x := range o {
		outputs[i%columns/wide] += float64(x) * float64(x)
	}
	norms := make([]float32, c.KVHeads)
	for head := range norms {
		norms[head] = float32(math.Sqrt(values[head] * outputs[head]))
	}
	return norms, nil
}

// without zeroes rows of a tensor, measures the model and restores the rows.
func (m *measurement) without(role models.Role, layer int, rows []int) (kl float64, err error) {
	if err := m.ctx.Err(); err != nil {
		return 0, err
	}
	slots := []models.Slot{{Role: role, Layer: layer}}
	if role == models.AttnV {
		slots = append(slots, models.Slot{Role: models.AttnVBias, Layer: layer})
	}
	for _, slot := range slots {
		info, ok := m.model.TensorInfo(slot)
		if !ok {
			continue
		}
		undo, err := m.zero(info, rows)
		if err != nil {
			return 0, err
		}
		defer func() {
			if e := undo(); e != nil {
				err = errors.Join(err, e)
			}
		}()
	}
	decoder, err := m.options.Open(m.path)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, decoder.Close()) }()
	results, err := quality.Measure(m.ctx, m.whole, []infer.Decoder{decoder}, m.options.Windows, nil)
	if err != nil {
		return 0, err
	}
	if m.steps++; m.options.Done != nil {
		m.options.Done(m.steps)
	}
	return results[0].KLToDense, nil
}

// zero overwrites rows of a tensor, or elements of a vector, with zeros. undo restores them.
func (m *measurement) zero(info gguf.TensorInfo, rows []int) (undo func() error, err error) {
	count := info.Shape[0] // rows of a matrix, elements of a vector
	rowBytes := info.Size / int64(count)
	before, err := m.model.File().ReadTensor(info)
	if err != nil {
		return nil, err
	}
	offset := m.model.File().DataOffset + info.Offset
	after := slices.Clone(before)
	for _, row := range rows {
		clear(after[int64(row)*rowBytes : int64(row+1)*rowBytes])
	}
	if _, err := m.file.WriteAt(after, offset); err != nil {
		return nil, err
	}
	return func() error {
		_, err := m.file.WriteAt(before, offset)
		return err
	}, nil
}
