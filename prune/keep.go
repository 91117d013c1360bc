package prune

import (
	"context"
	"errors"
	"io/fs"

	"prunellm/internal/reuse"
)

// This file finds a refit's dense hidden states, and stores them for the next refit.

// takeStates finds the dense model's hidden states, or prepares to collect them. For a device with its own memory it does
// neither, because such a device computes them faster than a disk reads them.
func (r *reconstructor) takeStates(ctx context.Context) {
	keep, config := r.opts.States, r.dense.Config()
	if r.budget.Workers > 1 {
		keep = nil
	}
	switch {
	case r.opts.Hidden.of(r.sequences):
		r.hidden = r.opts.Hidden
		if keep != nil {
			r.keepGiven(ctx)
		}
	case keep != nil:
		var err error
		if r.stored, err = keep.load(config, r.sequences); err == nil {
			r.hidden = r.stored
			return
		}
		if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, reuse.ErrOther) {
			r.warn("stored hidden states are unusable; computing them", err)
		}
		r.collected = newHidden(config, r.sequences, r.budget.Kept)
	}
}

// keepGiven starts writing the given states to the file while the first programs compile, which takes one core.
func (r *reconstructor) keepGiven(ctx context.Context) {
	ctx, r.stopKeeping = context.WithCancel(ctx)
	r.kept = make([]chan struct{}, r.dense.Config().Layers)
	for layer := range r.kept {
		r.kept[layer] = make(chan struct{})
	}
	r.keeping.Go(func() {
		done := 0
		r.saveStates(ctx, r.hidden, func() { close(r.kept[done]); done++ })
		for _, layer := range r.kept[done:] {
			close(layer)
		}
	})
}

// saveStates stores states for later refits. It logs a write error, which does not fail this refit.
func (r *reconstructor) saveStates(ctx context.Context, h *Hidden, written func()) {
	if err := r.opts.States.save(ctx, r.dense.Config(), h, written); err != nil && ctx.Err() == nil {
		r.warn("cannot store hidden states; another ratio will take longer", err)
	}
}

func (r *reconstructor) warn(message string, err error) {
	if r.opts.Log != nil {
		r.opts.Log.Warn(message, "path", r.opts.States.Path, "error", err)
	}
}
