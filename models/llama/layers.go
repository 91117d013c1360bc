package llama

import (
	"context"

	"prunellm/models"
)

// Layers loads the layers of one model for repeated visits with the same options. Its owner must call Release.
//
// # Concurrency
//
// A Layers must be used by one goroutine at a time.
type Layers struct {
	model   *Model
	weights models.Weights
	options func(layer int) LayerOptions
	keep    bool
	kept    map[int]*Layer
}

// Layers returns a Layers that has loaded nothing yet. options may be nil. With keep, loaded layers stay on the device
// until Release.
func (m *Model) Layers(w models.Weights, options func(layer int) LayerOptions, keep bool) *Layers {
	return &Layers{model: m, weights: w, options: options, keep: keep, kept: map[int]*Layer{}}
}

// Each visits the layers in the given order, as EachLayer does.
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

// EachLayer visits the layers in the given order. During a visit the layer's weights are on the device, and EachLayer
// already loads the next layer. options may be nil. EachLayer stops at the first error or when ctx ends.
func (m *Model) EachLayer(ctx context.Context, w models.Weights, order []int, options func(layer int) LayerOptions,
	visit func(*Layer) error) error {
	return m.loadEach(ctx, w, order, options, func(layer *Layer) error {
		defer layer.Release()
		return visit(layer)
	})
}

// loadEach is like EachLayer, but visit owns the layer and must release it.
func (m *Model) loadEach(ctx context.Context, w models.Weights, order []int, options func(layer int) LayerOptions,
	visit func(*Layer) error) error {
	type loaded struct {
		layer *Layer
		err   error
	}
	ctx, stop := context.WithCancel(ctx)
	results := make(chan loaded) // unbuffered: one loaded layer waits while another is in use
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
