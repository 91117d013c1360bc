package prune

import (
	"fmt"
	"slices"

	"github.com/gomlx/gomlx/pkg/core/tensors"

	"prunellm/models/llama"
)

// LinearAlgebra solves a refit's systems on the host, in float64. Matrices are row-major.
type LinearAlgebra interface {
	// Solve overwrites b [n, columns] with the solution of a x = b. a [n, n] is symmetric; Solve overwrites it too. It
	// returns an error if a is not positive definite.
	Solve(a, b []float64, n int) error
	// Multiply returns a b [n, columns], of a [n, n], which is symmetric, and b [n, columns].
	Multiply(a, b []float64, n int) ([]float64, error)
	// Factor overwrites a [n, n], which is symmetric, with an upper triangular V: a = V V^T. It returns an error if a
	// is not positive definite.
	Factor(a []float64, n int) error
	// Shift sets rows R of e [n, columns], count of them from first on: e_R = -V_RR^-T (sum over the rows P before them
	// of V_PR^T e_P), with Factor's V.
	Shift(v, e []float64, n, first, count int) error
}

// fitter solves the least squares of a layer. The layer's neurons come first in the sums; the rest is padding.
type fitter interface {
	// fit solves for the new down projection X, float32[f, e] on the device: (G + mu I) X = C + mu W with mu = ridge *
	// mean(diag G) and W = old. G and C are the sums of a layer plus share times those of its held-out batches.
	fit(s layerSums, share float64, old *tensors.Tensor, ridge float64, neurons int) (*tensors.Tensor, error)
	// heldOutError fits on a layer's other batches and returns the squared error on its held-out batches, up to a constant.
	// It may use a part of the outputs.
	heldOutError(s layerSums, old *tensors.Tensor, ridge float64, neurons int) (float64, error)
	// round rounds a solution x of fit, float32[f, e], in place. It rounds some neurons at a time and lets the next ones
	// compensate.
	round(s layerSums, share float64, x []float32, ridge float64, neurons int, grid Grid) error
	// padding returns the cost of padding with this fitter.
	padding() paddingCost
}

// tinyRidge keeps a system of zeros definite; it is negligible compared with any real sum.
const tinyRidge = 1e-100

// hostFitter solves on the host. It belongs to one goroutine.
type hostFitter struct {
	model   *llama.Model
	algebra LinearAlgebra
	scratch []float64 // a system's matrix, reused because allocating it costs more than filling it
}

// maxScratch bounds the values of a matrix whose memory is reused (64 MiB). For larger systems, of thousands of neurons, the
// time to allocate does not matter.
const maxScratch = 8 << 20

func (*hostFitter) padding() paddingCost { return hostFits }

func (h *hostFitter) fit(s layerSums, share float64, old *tensors.Tensor, ridge float64, neurons int) (*tensors.Tensor, error) {
	x, err := h.solve(s, share, old, ridge, neurons, 1)
	if err != nil {
		return nil, err
	}
	w := make([]float32, old.Shape().Size())
	for i := range x {
		w[i] = float32(x[i])
	}
	return h.model.Upload(w, old.Shape().Dimensions...)
}

// solve computes fit for every stride-th output, without the padding.
func (h *hostFitter) solve(s layerSums, share float64, old *tensors.Tensor, ridge float64, neurons, stride int) ([]float64, error) {
	a, b, mu, err := h.system(s, share, ridge, neurons, stride)
	if err != nil {
		return nil, err
	}
	err = old.ConstFlatData(func(flat any) {
		addScaled(b, mu, flat.([]float32), stride)
	})
	if err != nil {
		return nil, err
	}
	if err := h.algebra.Solve(a, b, neurons); err != nil {
		return nil, fmt.Errorf("least squares: %w: %w", err, ErrNotFinite)
	}
	return b, nil
}

// system returns G + mu I, float64[neurons, neurons], and C of every stride-th output, with G and C as in fit.
func (h *hostFitter) system(s layerSums, share, ridge float64, neurons, stride int) (a, b []float64, mu float64, err error) {
	a, b = h.room(neurons, stride)
	if err := add(a, b, s.fit, 1, neurons, stride); err != nil {
		return nil, nil, 0, err
	}
	if share != 0 {
		if err := add(a, b, s.held, share, neurons, stride); err != nil {
			return nil, nil, 0, err
		}
	}
	trace := 0.0
	for i := range neurons {
		trace += a[i*neurons+i]
	}
	// If no kept neuron was ever active the sums are zero, and the old weights are as good as any.
	mu = trace/float64(neurons)*ridge + tinyRidge
	for i := range neurons {
		a[i*neurons+i] += mu
	}
	return a, b, mu, nil
}

// room returns zeros for a system: float64[neurons, neurons], whose memory the next call may reuse, and float64[neurons,
// e/stride].
func (h *hostFitter) room(neurons, stride int) (gram, cross []float64) {
	cross = make([]float64, neurons*h.model.Config().HiddenSize/stride)
	if neurons*neurons > maxScratch {
		return make([]float64, neurons*neurons), cross
	}
	h.scratch = slices.Grow(h.scratch[:0], neurons*neurons)[:neurons*neurons]
	clear(h.scratch)
	return h.scratch, cross
}

// add adds a factor times the sums to gram and cross, without padding. cross has every stride-th output.
func add(gram, cross []float64, s *sums, factor float64, neurons, stride int) (err error) {
	defer llama.Guard(&err)
	err = s.gram.ConstFlatData(func(flat any) {
		all, width := flat.([]float64), s.gram.Shape().Dim(1)
		for i := range neurons {
			addScaled(gram[i*neurons:(i+1)*neurons], factor, all[i*width:], 1)
		}
	})
	if err != nil {
		return err
	}
	return s.cross.ConstFlatData(func(flat any) { addScaled(cross, factor, flat.([]float64), stride) })
}

// addScaled adds factor times every stride-th value at the start of from.
func addScaled[T float32 | float64](to []float64, factor float64, from []T, stride int) {
	if stride == 1 {
		from = from[:len(to)]
		for i, x := range from {
			to[i] += factor * float64(x)
		}
		return
	}
	for i := range to {
		to[i] += factor * float64(from[i*stride])
	}
}

// triedOutputs is the smallest number of outputs for which the error of a ridge is computed. A part of the outputs selects a ridge
// as well as all of them do. With all of them, computing the outputs would take most of the time.
const triedOutputs = 128

// stride returns the largest divisor of the outputs that leaves triedOutputs.
func stride(outputs int) int {
	for s := outputs / triedOutputs; s > 1; s-- {
		if outputs%s == 0 {
			return s
		}
	}
	return 1
}

func (h *hostFitter) heldOutError(s layerSums, old *tensors.Tensor, ridge float64, neurons int) (float64, error) {
	stride := stride(h.model.Config().HiddenSize)
	x, err := h.solve(s, 0, old, ridge, neurons, stride)
	if err != nil {
		return 0, err
	}
	gram, cross := h.room(neurons, stride)
	if err := add(gram, cross, s.held, 1, neurons, stride); err != nil {
		return 0, err
	}
	product, err := h.algebra.Multiply(gram, x, neurons)
	if err != nil {
		return 0, err
	}
	// |W^T h - y|^2 summed over tokens is tr(W^T G W) - 2 tr(W^T C) + |y|^2.
	sum := 0.0
	for i, p := range product {
		sum += x[i] * (p - 2*cross[i])
	}
	return sum, nil
}
