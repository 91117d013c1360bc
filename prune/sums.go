package prune

import (
	"slices"

	"github.com/gomlx/gomlx/pkg/core/tensors"

	"prunellm/models/llama"
)

// sums are the least-squares sums of one layer over some sequences, on the device: gram float64[n, n], the sum of h h^T
// with h the activations, and cross float64[n, e], the sum of h y^T with y the target. Up to sumTokens tokens are summed in
// float32, because each addition in float64 is a pass over matrices that exceed any cache.
type sums struct {
	gram, cross *tensors.Tensor
	waiting     []any             // tensors of batches that are not added yet, borrowed; arguments of the program that adds
	owned       []*tensors.Tensor // those of waiting to free after that
	tokens      int               // of these batches
}

// sumTokens is the number of tokens that one program sums.
const sumTokens = 1024

// newSums returns empty sums.
func (r *reconstructor) newSums(width int) (*sums, error) {
	hidden := r.pruned.Config().HiddenSize
	zeros := r.zeros
	if size := width * max(width, hidden); len(zeros) < size {
		if zeros = make([]float64, size); size <= maxScratch {
			r.zeros = zeros
		}
	}
	gram, err := r.pruned.UploadDoubles(zeros[:width*width], width, width)
	if err != nil {
		return nil, err
	}
	cross, err := r.pruned.UploadDoubles(zeros[:width*hidden], width, hidden)
	if err != nil {
		llama.Release(gram)
		return nil, err
	}
	return &sums{gram: gram, cross: cross}, nil
}

// layerSums holds the sums of a layer over its sequences. If the layer selects its ridge, those of the held-out
// sequences are separate; otherwise both names refer to the same sums.
type layerSums struct{ fit, held *sums }

func (r *reconstructor) newLayerSums(slim *llama.Layer) (s layerSums, err error) {
	if s.fit, err = r.newSums(slim.Width); err != nil {
		return layerSums{}, err
	}
	if s.held = s.fit; !r.chooses(slim.Index) {
		return s, nil
	}
	if s.held, err = r.newSums(slim.Width); err != nil {
		s.fit.release()
		return layerSums{}, err
	}
	return s, nil
}

func (s layerSums) apart() bool { return s.fit != s.held }

// heldShare returns the factor of the held-out sums if all sequences count.
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

// replace frees the old sums and stores the new ones that a program returned.
func (s *sums) replace(results []*tensors.Tensor) {
	s.release()
	s.gram, s.cross = results[0], results[1]
}

func (s *sums) release() {
	llama.Release(s.gram, s.cross)
	llama.Release(s.owned...)
	s.gram, s.cross, s.owned = nil, nil, nil
}

// sum adds a batch to a layer's least-squares sums, together with earlier ones once they have sumTokens tokens.
func (r *reconstructor) sum(s *sums, of batch, slim *llama.Layer, mid, activation *tensors.Tensor) error {
	args := []any{activation, mid}
	for _, i := range of {
		args = append(args, r.denseStates[i])
	}
	if r.normalize != nil {
		results, err := r.normalize.Exec(append(slices.Clone(args), append([]any{slim.Down()}, r.postNorm(slim)...)...)...)
		if err != nil {
			return err
		}
		s.owned = append(s.owned, results...)
		args[0], args[1] = results[0], results[1]
	}
	s.waiting = append(s.waiting, args...)
	s.tokens += tokensOf(of.pick(r.sequences))
	if s.tokens < sumTokens {
		return nil
	}
	return r.flush(s)
}

// flush adds the pending batches.
func (r *reconstructor) flush(s *sums) error {
	if len(s.waiting) == 0 {
		return nil
	}
	next, err := r.gram.Exec(append([]any{s.gram, s.cross}, s.waiting...)...)
	if err != nil {
		return err
	}
	s.replace(next)
	s.waiting, s.tokens = nil, 0
	return nil
}
