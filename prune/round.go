package prune

import (
	"fmt"

	"prunellm/models/llama"
)

// GridBlock is the number of neurons that a Grid rounds at a time. It is the number of values that share a scale in ggml's
// simple types.
const GridBlock = 32

// Grid rounds some columns of a down projection, float32[hidden, GridBlock], to values of the stored type.
type Grid func(columns []float32) ([]float32, error)

// round implements fitter.
func (h *hostFitter) round(s layerSums, share float64, x []float32, ridge float64, neurons int, grid Grid) error {
	a, _, _, err := h.system(s, share, ridge, neurons, 1)
	if err != nil {
		return err
	}
	hidden := h.model.Config().HiddenSize
	if err := roundBlocks(h.algebra, a, x[:neurons*hidden], neurons, grid); err != nil {
		return fmt.Errorf("error feedback: %w", err)
	}
	return nil
}

// roundBlocks rounds x, float32[n, hidden], one block of neurons after another. It overwrites a, float64[n, n], which is
// symmetric. Let a = V V^T with V upper triangular. Rounding x to W = x + E adds tr(E^T a E) = |V^T E|^2 to the squared error of a
// fit with the Gram matrix a. Row k of V^T E depends only on the neurons up to k. roundBlocks therefore first
// shifts each block to compensate for those before it, and then rounds it: the order of GPTQ (Frantar et al., arXiv
// 2210.17323), a block at a time.
func roundBlocks(algebra LinearAlgebra, a []float64, x []float32, n int, grid Grid) error {
	if err := algebra.Factor(a, n); err != nil {
		return err
	}
	hidden := len(x) / n
	e := make([]float64, len(x))
	for first := 0; first < n; first += GridBlock {
		count := min(GridBlock, n-first)
		if err := algebra.Shift(a, e, n, first, count); err != nil {
			return err
		}
		block, errors := x[first*hidden:(first+count)*hidden], e[first*hidden:(first+count)*hidden]
		moved := make([]float32, len(block))
		for i, value := range block {
			moved[i] = float32(float64(value) + errors[i])
		}
		rounded, err := grid(llama.TransposeValues(moved, count, hidden))
		if err != nil {
			return err
		}
		for i, value := range llama.TransposeValues(rounded, hidden, count) {
			errors[i] = float64(value) - float64(block[i])
			block[i] = value
		}
	}
	return nil
}
