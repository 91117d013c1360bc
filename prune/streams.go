package prune

import (
	"context"
	"errors"
	"fmt"

	"github.com/gomlx/gomlx/pkg/core/tensors"

	"prunellm/models"
	"prunellm/models/llama"
)

// This file has the two streams of a refit: the hidden states of the dense model and of the pruned model.

// begin embeds the sequences and runs both streams, which are still equal, to the first layer that loses neurons. It
// emits the unchanged projections of the layers before it.
func (r *reconstructor) begin(ctx context.Context) (err error) {
	if r.hidden == nil || r.first == 0 {
		if err := r.embed(); err != nil {
			return err
		}
	}
	done := func(layer int) error {
		down, _, err := r.slim.Tensor(models.FFNDown, layer)
		if err != nil {
			return err
		}
		if !allFinite(down) {
			return fmt.Errorf("reconstruct layer %d: %w", layer, ErrNotFinite)
		}
		r.meter.add(r.tokens)
		_, err = r.give(layer, down) // the file holds these layers unchanged
		return err
	}
	if r.hidden == nil {
		err := r.dense.EachLayer(ctx, r.weights, llama.Ascending(r.first), r.denseOptions, func(dense *llama.Layer) error {
			for _, p := range r.portions {
				if err := r.moveDense(ctx, dense, dense.Index, p); err != nil {
					return err
				}
				if err := r.park.put(parkedDense, r.denseStates, p.sequences); err != nil {
					return err
				}
			}
			return done(dense.Index)
		})
		if err != nil {
			return err
		}
	} else {
		for layer := range r.first {
			if err := done(layer); err != nil {
				return err
			}
		}
		if r.first > 0 {
			if err := r.moveDense(ctx, nil, r.first-1, r.portions[0]); err != nil { // with known states there is only one portion
				return err
			}
		}
	}
	return r.branch()
}

// embed starts the dense stream.
func (r *reconstructor) embed() error {
	head, err := r.dense.LoadHead(r.weights, llama.Float32)
	if err != nil {
		return err
	}
	defer head.Release()
	r.denseStates = make(llama.States, len(r.sequences))
	for _, p := range r.portions {
		states, err := llama.NewStates(r.dense, head, batch(p.sequences).pick(r.sequences))
		if err != nil {
			return err
		}
		for k, i := range p.sequences {
			r.denseStates[i] = states[k]
		}
		if err := r.park.put(parkedDense, r.denseStates, p.sequences); err != nil {
			return err
		}
	}
	return nil
}

// branch starts the slim stream with a copy of the dense one.
func (r *reconstructor) branch() error {
	r.slimStates = make(llama.States, len(r.batches))
	for _, p := range r.portions {
		if err := r.park.take(parkedDense, r.denseStates, p.sequences); err != nil {
			return err
		}
		for _, b := range p.batches {
			if err := r.branchBatch(b); err != nil {
				return err
			}
		}
		err := errors.Join(r.park.put(parkedSlim, r.slimStates, p.batches), r.park.put(parkedDense, r.denseStates, p.sequences))
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *reconstructor) branchBatch(b int) (err error) {
	var joined []float32
	for _, i := range r.batches[b] {
		values, err := llama.Download[float32](r.denseStates[i])
		if err != nil {
			return err
		}
		joined = append(joined, values...)
	}
	hidden := r.dense.Config().HiddenSize
	r.slimStates[b], err = r.pruned.Upload(joined, len(joined)/hidden, hidden)
	return err
}

// denseOptions returns how to load a layer of the dense model.
func (r *reconstructor) denseOptions(int) llama.LayerOptions {
	return llama.LayerOptions{Narrow: r.precision.Narrow()}
}

// statesOf returns the dense model's states after a layer; the caller releases them.
func (r *reconstructor) statesOf(layer int) (llama.States, error) {
	if r.kept != nil {
		<-r.kept[layer]
	}
	return r.hidden.layer(r.dense, layer)
}

// moveDense runs the dense stream of a portion through a layer. The layer may be nil if its results are known; those of all
// sequences are then in memory.
func (r *reconstructor) moveDense(ctx context.Context, dense *llama.Layer, layer int, p portion) (err error) {
	if r.hidden != nil {
		r.denseStates.Release()
		r.denseStates, err = r.statesOf(layer)
		return err
	}
	if err := r.park.take(parkedDense, r.denseStates, p.sequences); err != nil {
		return err
	}
	for _, i := range p.sequences {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := r.advanceDense(dense, i); err != nil {
			return err
		}
	}
	return nil
}

// forward runs a batch's slim stream through a layer up to its down projection.
func (r *reconstructor) forward(slim *llama.Layer, i int) (mid, activation *tensors.Tensor, err error) {
	results, err := r.slimPass.RunTogether(len(r.batches[i]), slim, r.slimStates[i], r.lengths[i])
	if err != nil {
		return nil, nil, err
	}
	r.meter.add(tokensOf(r.batches[i].pick(r.sequences)))
	return results[0], results[1], nil
}

// advanceDense runs one sequence's dense stream through a layer.
func (r *reconstructor) advanceDense(dense *llama.Layer, i int) error {
	out, err := r.densePass.Run(dense, r.denseStates[i])
	if err != nil {
		return err
	}
	if r.collected != nil {
		if dense.Index > 0 {
			r.denseStates[i] = nil // collected, no longer owned here
		}
		r.collected.take(dense.Index, llama.States{out[0]})
	}
	r.denseStates.Replace(i, out[0])
	return nil
}

// rounded downloads a refitted projection, float32[f, e], rounded by the layer's grid if it has one.
func (r *reconstructor) rounded(layer int, refitted *tensors.Tensor, s layerSums) ([]float32, error) {
	values, err := llama.Download[float32](refitted)
	if err != nil {
		return nil, err
	}
	if !allFinite(values) {
		return nil, ErrNotFinite
	}
	if r.opts.Grid == nil {
		return values, nil
	}
	if grid := r.opts.Grid(layer, len(r.plan.Kept[layer])); grid != nil {
		err = r.fitter.round(s, s.heldShare(), values, r.chosen, len(r.plan.Kept[layer]), grid)
	}
	return values, err
}

// adopt emits the refitted projection, values float32[f, e], and runs the slim stream through its stored values.
func (r *reconstructor) adopt(slim *llama.Layer, refitted *tensors.Tensor, values []float32, mids, activations llama.States) error {
	hidden, width := r.dense.Config().HiddenSize, len(r.plan.Kept[slim.Index])
	stored, err := r.give(slim.Index, llama.TransposeValues(values[:width*hidden], width, hidden))
	if err != nil {
		return err
	}
	copy(values, llama.TransposeValues(stored, hidden, width))
	kind := llama.Float32
	if r.mixed() {
		kind = llama.BFloat16
	}
	projection, err := r.pruned.UploadIn(kind, values, refitted.Shape().Dimensions...)
	if err != nil {
		return err
	}
	defer llama.Release(projection)
	for _, p := range r.portions {
		if err := errors.Join(r.park.take(parkedSlim, mids, p.batches), r.park.take(parkedActivation, activations, p.batches)); err != nil {
			return err
		}
		for _, i := range p.batches {
			results, err := r.apply.Exec(append([]any{mids[i], activations[i], projection}, r.postNorm(slim)...)...)
			if err != nil {
				return err
			}
			r.slimStates.Replace(i, results[0])
			if r.park != nil {
				mids.Replace(i, nil)
				activations.Replace(i, nil)
			}
		}
		if err := r.park.put(parkedSlim, r.slimStates, p.batches); err != nil {
			return err
		}
	}
	return nil
}
