package prune

import (
	"context"
	"fmt"
	"math"

	"github.com/gomlx/gomlx/pkg/core/tensors"
)

// Selecting the ridge by held-out sequences.
const (
	// heldOutEvery sets the share of batches that select the ridge: one in heldOutEvery. With fewer batches,
	// DefaultRidge applies.
	heldOutEvery = 4
	// choosingLayers bounds how many layers select a ridge; layers between them reuse the previous one. A selection
	// costs as much as several solutions.
	choosingLayers = 8
	// maxChoosingWidth bounds the kept neurons of a layer that selects: wider ones take seconds per solution.
	maxChoosingWidth = 4096
)

// ridgeSteps are the candidates as multiples of DefaultRidge, from the strongest; of equals the stronger wins. The
// first whose error is above the previous one's ends the search.
var ridgeSteps = [...]float64{30, 10, 3, 1, 0.3}

// DefaultRidge returns the ridge for a number of calibration tokens, for use if there are too few sequences to select
// one. The ridge guards against fitting the noise of few tokens, which decreases with their number.
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

// chooseRidge fits with candidates on the sums of the other sequences, and keeps the one with the smallest error on the
// held-out ones. The ridge refers to all sequences: the noise that it guards against falls with the tokens.
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
			break // past the minimum: weaker ones fit the noise of these tokens still more
		}
		best, least = ridge, misfit
	}
	if best == 0 {
		return fmt.Errorf("least squares: error on held-out tokens: %w", ErrNotFinite)
	}
	r.chosen = best
	return nil
}
