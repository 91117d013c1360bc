package prune

import (
	"context"
	"fmt"
	"math"

	"github.com/gomlx/gomlx/pkg/core/tensors"

	"prunellm/models/llama"
)

// Choosing the ridge by held-out sequences.
const (
	// heldOutEvery says which batches of sequences choose the ridge: one in so many. With fewer batches DefaultRidge holds.
	heldOutEvery = 4
	// choosingLayers bounds how many layers choose; those in between take the choice of the last one before. A choice
	// costs as much as several solutions.
	choosingLayers = 8
	// maxChoosingWidth bounds the kept neurons of a layer that chooses: wider ones take seconds for each solution.
	maxChoosingWidth = 4096
)

// ridgeSteps are the candidates as multiples of DefaultRidge, from the strongest.
var ridgeSteps = [...]float64{30, 10, 3, 1, 0.3}

// firstRidgeStep is the candidate that the first layer's choice starts from.
const firstRidgeStep = 1

// DefaultRidge is the ridge for a number of calibration tokens, where too few sequences are there to choose one by. What
// it guards against, fitting the noise of few tokens, falls with their number.
func DefaultRidge(tokens int) float64 {
	const tokensAtOne = 800
	return min(1, tokensAtOne/float64(tokens))
}

// sums are the least-squares sums of one layer over some sequences, on the device: gram float64[n, n], the sum of h h^T
// with h the activations, and cross float64[n, e], the sum of h y^T with y the target. Those of sumTokens tokens are added up in
// float32: each addition in float64 is a pass over matrices that no cache holds.
type sums struct {
	gram, cross *tensors.Tensor
	waiting     []any // arguments of the program that adds: borrowed tensors
	tokens      int   // of the batches that wait
}

// sumTokens is how many tokens are added up in one program.
const sumTokens = 1024

// layerSums are the sums of a layer over its sequences. Where a layer chooses its ridge, those of the held-out ones are apart; elsewhere both
// name the same.
type layerSums struct{ fit, held *sums }

func (r *reconstructor) newLayerSums(slim *llama.Layer) (s layerSums, err error) {
	if s.fit, err = newSums(r.pruned, slim.Width); err != nil {
		return layerSums{}, err
	}
	if s.held = s.fit; !r.chooses(slim.Index) {
		return s, nil
	}
	if s.held, err = newSums(r.pruned, slim.Width); err != nil {
		s.fit.release()
		return layerSums{}, err
	}
	return s, nil
}

func (s layerSums) apart() bool { return s.fit != s.held }

// heldShare is what the held-out sums count when all sequences are to.
func (s layerSums) heldShare() float64 {
	if s.apart() {
		return 1
	}
	return 0
}

func (s layerSums) release() {
	s.held.release()
	if s.apart() {
		s.fit.release()
	}
}

func newSums(m *llama.Model, width int) (*sums, error) {
	hidden := m.Config().HiddenSize
	gram, err := m.UploadDoubles(make([]float64, width*width), width, width)
	if err != nil {
		return nil, err
	}
	cross, err := m.UploadDoubles(make([]float64, width*hidden), width, hidden)
	if err != nil {
		llama.Release(gram)
		return nil, err
	}
	return &sums{gram: gram, cross: cross}, nil
}

// replace frees the old sums and takes new ones, as a program returns them.
func (s *sums) replace(results []*tensors.Tensor) {
	s.release()
	s.gram, s.cross = results[0], results[1]
}

func (s *sums) release() {
	llama.Release(s.gram, s.cross)
	s.gram, s.cross = nil, nil
}

// chooses tells whether a layer chooses a ridge of its own.
func (r *reconstructor) chooses(layer int) bool {
	every := (r.dense.Config().Layers - r.first + choosingLayers - 1) / choosingLayers
	return r.opts.Ridge == 0 && len(r.batches) >= heldOutEvery && (layer-r.first)%every == 0 &&
		len(r.plan.Kept[layer]) <= maxChoosingWidth
}

// heldOut tells whether a batch of sequences is one of those that choose the ridge.
func heldOut(batch int) bool { return batch%heldOutEvery == heldOutEvery-1 }

// chooseRidge fits with candidates on the sums of the other sequences, and keeps the one that errs least on the held-out ones; of equals
// the stronger. From the last layer's choice it goes towards stronger ones, or else weaker ones, as long as they err less. The ridge is in
// terms of all sequences: what it guards against falls with the tokens.
func (r *reconstructor) chooseRidge(ctx context.Context, layer int, s layerSums, old *tensors.Tensor) error {
	const share = 1 - 1.0/heldOutEvery
	misfit := func(step int) (float64, error) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		return r.misfit(layer, ridgeSteps[step]*DefaultRidge(r.tokens)/share, s, old)
	}
	least, err := misfit(r.step)
	if err != nil {
		return err
	}
	if math.IsNaN(least) || math.IsInf(least, 0) {
		return fmt.Errorf("least squares: error on held-out tokens: %w", ErrNotFinite)
	}
	improve := func(by int) (better bool, err error) {
		step := r.step + by
		if step < 0 || step == len(ridgeSteps) {
			return false, nil
		}
		next, err := misfit(step)
		if err != nil || !(next < least || next == least && by < 0) {
			return false, err
		}
		least, r.step = next, step
		return true, nil
	}
	from := r.step
	for _, by := range []int{-1, 1} {
		for better := r.step == from; better; {
			if better, err = improve(by); err != nil {
				return err
			}
		}
	}
	r.chosen = ridgeSteps[r.step] * DefaultRidge(r.tokens)
	return nil
}

// misfit solves on some tokens and returns the squared error on others, but for a constant.
func (r *reconstructor) misfit(layer int, ridge float64, s layerSums, old *tensors.Tensor) (float64, error) {
	neurons := len(r.plan.Kept[layer])
	w, err := r.fitter.fit(s, 0, old, ridge, neurons)
	if err != nil {
		return 0, err
	}
	defer llama.Release(w)
	return r.fitter.misfit(w, s.held, neurons)
}
