package prune

import (
	"context"
	"fmt"

	"github.com/gomlx/gomlx/pkg/core/tensors"

	"prunellm/models"
	"prunellm/models/llama"
)

// How the dense model's hidden states and the pruned model's move through the layers of a refit.

// passOver moves both streams past the layers before the first that loses neurons: there they are one. It gives these layers' projections
// as they are.
func (r *reconstructor) passOver(ctx context.Context, give func(layer int, down []float32) error) error {
	done := func(layer int) error {
		down, _, err := r.slim.Tensor(models.FFNDown, layer)
		if err != nil {
			return err
		}
		if !allFinite(down) {
			return fmt.Errorf("reconstruct layer %d: %w", layer, ErrNotFinite)
		}
		r.meter.add(r.tokens)
		return give(layer, down)
	}
	if r.hidden != nil {
		for layer := range r.first {
			if err := done(layer); err != nil {
				return err
			}
		}
		if r.first == 0 {
			return nil
		}
		states, err := r.statesOf(r.first - 1)
		if err != nil {
			return err
		}
		r.slimStates.Release()
		r.slimStates = states
		return nil
	}
	err := r.dense.EachLayer(ctx, r.weights, llama.Ascending(r.first), r.denseOptions, func(dense *llama.Layer) error {
		for i := range r.sequences {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := r.advanceDense(dense, i); err != nil {
				return err
			}
		}
		return done(dense.Index)
	})
	if err != nil || r.first == 0 {
		return err
	}
	for i, x := range r.denseStates {
		values, err := llama.Download[float32](x)
		if err != nil {
			return err
		}
		own, err := r.dense.Upload(values, x.Shape().Dimensions...)
		if err != nil {
			return err
		}
		r.slimStates.Replace(i, own)
	}
	return nil
}

// denseOptions says how a layer of the dense model is loaded.
func (r *reconstructor) denseOptions(int) llama.LayerOptions {
	return llama.LayerOptions{Narrow: r.precision.Narrow()}
}

// statesOf is what the dense model's layer made of the sequences, for the caller to release.
func (r *reconstructor) statesOf(layer int) (llama.States, error) {
	if r.kept != nil {
		<-r.kept[layer]
	}
	return r.hidden.layer(r.dense, layer)
}

// forward moves the dense streams of some sequences through the layer, and the slim ones up to its down projection.
func (r *reconstructor) forward(dense, slim *llama.Layer, of batch, mids, activations llama.States) error {
	for i := of.from; i < of.to && r.hidden == nil; i++ {
		if err := r.advanceDense(dense, i); err != nil {
			return err
		}
	}
	results, err := r.slimPass.Run(slim, r.slimStates[of.from:of.to]...)
	if err != nil {
		return err
	}
	copy(activations, results[copy(mids, results):])
	return nil
}

// advanceDense moves one sequence's dense stream through a layer.
func (r *reconstructor) advanceDense(dense *llama.Layer, i int) error {
	out, err := r.densePass.Run(dense, r.denseStates[i])
	if err != nil {
		return err
	}
	if r.collected != nil {
		if dense.Index > 0 {
			r.denseStates[i] = nil // it is collected
		}
		r.collected.take(dense.Index, llama.States{out[0]})
	}
	r.denseStates.Replace(i, out[0])
	return nil
}

// adopt moves the slim stream on through the refitted projection, which it returns as float32[hidden*width].
func (r *reconstructor) adopt(layer int, refitted *tensors.Tensor, mids, activations llama.States) (down []float32, err error) {
	for i := range r.sequences {
		results, err := r.apply.Exec(mids[i], activations[i], refitted)
		if err != nil {
			return nil, err
		}
		r.slimStates.Replace(i, results[0])
	}
	values, err := llama.Download[float32](refitted)
	if err != nil {
		return nil, err
	}
	if !allFinite(values) {
		return nil, ErrNotFinite
	}
	hidden, width := r.dense.Config().HiddenSize, len(r.plan.Kept[layer])
	return llama.TransposeValues(values[:width*hidden], width, hidden), nil
}
