package prune

import (
	"context"
	"fmt"
	"math"

	"github.com/gomlx/gomlx/pkg/core/tensors"
)

// Constants for selecting the ridge by held-out sequences.
const (
	// One in heldOutEvery batches is held out to select the ridge. With fewer batches, DefaultRidge applies.
	heldOutEvery = 4
	// choosingLayers bounds how many layers select a ridge; layers between them reuse the previous one. A selection
	// costs as much as several solutions.
	choosingLayers = 8
	// maxChoosingWidth bounds the kept neurons of a layer that selects: wider ones take seconds per solution.
	maxChoosingWidth = 4096
)

// ridgeSteps are the candidates as multiples of DefaultRidge, from the strongest; of equals the stronger wins. The search ends
// at the first candidate whose error is above the previous one's.
var ridgeSteps = [...]float64{30, 10, 3, 1, 0.3}

// DefaultRidge returns the ridge for a number of calibration tokens, if there are too few sequences to select one. The ridge
// prevents fitting the noise of few tokens, which decreases with their number.
func DefaultRidge(tokens int) float64 {
	const tokensAtOne = 800
	return min(1, tokensAtOne/float64(tokens))
}

// chooses reports whether a layer chooses a ridge of its own.
func (r *reconstructor) chooses(layer int) bool {
	every := (r.dense.Config().Layers - r.first + choosingLayers - 1) / choosingLayers
	return r.opts.Ridge == 0 && len(r.batches) >= heldOutEvery && (layer-r.first)%every == 0 &&
		len(r.plan.Kept[layer]) <= maxChoosingWidth
}

// heldOut reports whether a batch of sequences is held out to select the ridge.
func heldOut(batch int) bool { return batch%heldOutEvery == heldOutEvery-1 }

// chooseRidge fits with each candidate on the other sequences, and selects the one with the smallest error on the held-out ones.
// The candidates are scaled for the number of all tokens, on which the final fit runs.
func (r *reconstructor) chooseRidge(ctx context.Context, layer int, s layerSums, old *tensors.Tensor) error {
	const share = 1 - 1.0/heldOutEvery
	best, least, neurons := 0.0, math.Inf(1), len(r.plan.Kept[layer])
	for _, step := range ridgeSteps {
		if err := ctx.Err(); err != nil {
			return err
		}
		ridge := step * DefaultRidge(r.tokens)
		misfit, err := r.fitter.heldOutError(s, old, ridge/share, neurons)
		if err != nil {
			return err
		}
		if !(misfit < least) {
			break // past the minimum: weaker ridges fit the noise even more
		}
		best, least = ridge, misfit
	}
	if best == 0 {
		return fmt.Errorf("least squares: error on held-out tokens: %w", ErrNotFinite)
	}
	r.chosen = best
	return nil
}
