package prune

import (
	"context"
	"fmt"
	"math"

	"github.com/gomlx/gomlx/pkg/core/dtypes"
	. "github.com/gomlx/gomlx/pkg/core/graph" //nolint:staticcheck // gomlx graph code reads as formulas
	"github.com/gomlx/gomlx/pkg/core/tensors"

	"prunellm/models/llama"
)

// Choosing the ridge by held-out sequences.
const (
	// heldOutEvery says which sequences choose the ridge: one in so many. With fewer sequences DefaultRidge holds.
	heldOutEvery = 4
	// choosingLayers bounds how many layers choose; those in between take the choice of the last one before. A choice
	// costs as much as several solutions.
	choosingLayers = 8
	// maxChoosingWidth bounds the kept neurons of a layer that chooses: wider ones take seconds for each solution.
	maxChoosingWidth = 4096
)

// ridgeSteps are the candidates as multiples of DefaultRidge, from the strongest; of equals the stronger wins. The first that errs
// more than the one before ends the search.
var ridgeSteps = [...]float64{30, 10, 3, 1, 0.3}

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
	tokens      int   // of the sequences that wait
}

// sumTokens is how many tokens are added up in one program.
const sumTokens = 1024

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

// ridgeChooser holds the programs by which a ridge is chosen.
type ridgeChooser struct {
	combine *Exec // G, C, held G, held C -> their sums
	misfit  *Exec // W float32[n, e], held G, held C -> float64: squared error on the held-out tokens, but for a constant
}

func newRidgeChooser(m *llama.Model) (c ridgeChooser, err error) {
	c.combine, err = m.Compile("combine", func(args []*Node) []*Node {
		return []*Node{Add(args[0], args[2]), Add(args[1], args[3])}
	})
	if err != nil {
		return c, err
	}
	c.misfit, err = m.Compile("misfit", func(args []*Node) []*Node {
		// |W^T h - y|^2 summed over tokens is tr(W^T G W) - 2 tr(W^T C) + |y|^2.
		w, gram, cross := ConvertDType(args[0], dtypes.Float64), args[1], args[2]
		return []*Node{ReduceAllSum(Mul(w, Sub(Einsum("nm,me->ne", gram, w), MulScalar(cross, 2))))}
	})
	return c, err
}

// chooses tells whether a layer chooses a ridge of its own.
func (r *reconstructor) chooses(layer int) bool {
	every := (r.dense.Config().Layers - r.first + choosingLayers - 1) / choosingLayers
	return r.opts.Ridge == 0 && len(r.sequences) >= heldOutEvery && (layer-r.first)%every == 0 &&
		len(r.plan.Kept[layer]) <= maxChoosingWidth
}

// heldOut tells whether a sequence belongs to those that choose the ridge.
func heldOut(sequence int) bool { return sequence%heldOutEvery == heldOutEvery-1 }

// chooseRidge fits with each candidate on the sums of the other sequences, and keeps the one that errs least on the
// held-out ones. Then it adds the held-out sums to the others. The ridge is in terms of all sequences: what it guards
// against falls with the tokens.
func (r *reconstructor) chooseRidge(ctx context.Context, layer int, fit, held *sums, old *tensors.Tensor) error {
	const share = 1 - 1.0/heldOutEvery
	best, least := 0.0, math.Inf(1)
	for _, step := range ridgeSteps {
		if err := ctx.Err(); err != nil {
			return err
		}
		ridge := step * DefaultRidge(r.tokens)
		misfit, err := r.misfit(layer, ridge/share, fit, held, old)
		if err != nil {
			return err
		}
		if !(misfit < least) {
			break // past the least: weaker ones fit the noise of these tokens still more
		}
		best, least = ridge, misfit
	}
	if best == 0 {
		return fmt.Errorf("least squares: error on held-out tokens: %w", ErrNotFinite)
	}
	r.chosen = best
	results, err := r.chooser.combine.Exec(fit.gram, fit.cross, held.gram, held.cross)
	if err != nil {
		return err
	}
	fit.replace(results)
	return nil
}

// misfit solves on some tokens and returns the squared error on others, but for a constant.
func (r *reconstructor) misfit(layer int, ridge float64, fit, held *sums, old *tensors.Tensor) (float64, error) {
	w, err := r.refit(layer, ridge, fit, old)
	if err != nil {
		return 0, err
	}
	defer llama.Release(w)
	result, err := r.chooser.misfit.Exec1(w, held.gram, held.cross)
	if err != nil {
		return 0, err
	}
	defer llama.Release(result)
	values, err := llama.Download[float64](result)
	if err != nil {
		return 0, err
	}
	return values[0], nil
}
