package llama

import (
	"context"

	"prunellm/models"
)

// Layers loads the layers of one model with the same options for repeated visits. Its owner calls Release.
//
// # Concurrency
//
// It belongs to one goroutine.
type Layers struct {
	model   *Model
	weights models.Weights
	options func(layer int) LayerOptions
	keep    bool
	kept    map[int]*Layer
}

// Layers prepares visits of layers and loads nothing yet; options may be nil. With keep, loaded layers stay until Release.
func (m *Model) Layers(w models.Weights, options func(layer int) LayerOptions, keep bool) *Layers {
	return &Layers{model: m, weights: w, options: options, keep: keep, kept: map[int]*Layer{}}
}

// Each visits layers in the given order, as EachLayer does.
func (l *Layers) Each(ctx context.Context, order []int, visit func(*Layer) error) error {
	if !l.keep {
		return l.model.EachLayer(ctx, l.weights, order, l.options, visit)
	}
	var missing []int
	for _, index := range order {
		if l.kept[index] == nil {
			missing = append(missing, index)
		}
	}
	if len(missing) == len(order) {
		return l.model.loadEach(ctx, l.weights, order, l.options, func(layer *Layer) error {
			l.kept[layer.Index] = layer
			return visit(layer)
		})
	}
	err := l.model.loadEach(ctx, l.weights, missing, l.options, func(layer *Layer) error {
		l.kept[layer.Index] = layer
		return nil
	})
	if err != nil {
		return err
	}
	for _, index := range order {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		if err := visit(l.kept[index]); err != nil {
			return err
		}
	}
	return nil
}

// Release frees the layers on the device. It is idempotent.
func (l *Layers) Release() {
	for _, layer := range l.kept {
		layer.Release()
	}
	clear(l.kept)
}

// EachLayer visits layers in the given order, each with its weights on the device, and loads the next one meanwhile. options
// may be nil. It stops at the first error and when ctx ends.
func (m *Model) EachLayer(ctx context.Context, w models.Weights, order []int, options func(layer int) LayerOptions,
	visit func(*Layer) error) error {
	return m.loadEach(ctx, w, order, options, func(layer *Layer) error {
		defer layer.Release()
		return visit(layer)
	})
}

// loadEach is EachLayer, but visit owns the layer.
func (m *Model) loadEach(ctx context.Context, w models.Weights, order []int, options func(layer int) LayerOptions,
	visit func(*Layer) error) error {
	type loaded struct {
		layer *Layer
		err   error
	}
	ctx, stop := context.WithCancel(ctx)
	results := make(chan loaded) // unbuffered: one layer waits while another is in use
	go func() {
		defer close(results)
		for _, index := range order {
			var opts LayerOptions
			if options != nil {
				opts = options(index)
			}
			layer, err := m.LoadLayer(w, index, opts)
			select {
			case results <- loaded{layer, err}:
			case <-ctx.Done():
				if err == nil {
					layer.Release()
				}
				return
			}
			if err != nil {
				return
			}
		}
	}()
	defer func() {
		stop()
		for rest := range results {
			if rest.err == nil {
				rest.layer.Release()
			}
		}
	}()
	for range order {
		var next loaded
		var open bool
		select {
		case next, open = <-results:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if !open {
			return context.Cause(ctx)
		}
		if next.err != nil {
			return next.err
		}
		if err := visit(next.layer); err != nil {
			return err
		}
	}
	return nil
}
