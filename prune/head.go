package prune

import (
	"context"
	"math/rand/v2"

	"github.com/gomlx/gomlx/pkg/core/tensors"

	"prunellm/models/llama"
)

// This file has the head's part of a pass: from the last hidden states of a group to their gradients.

// lossByChunks runs the head over the tokens of all sequences of a group in chunks, so that logits never exist for all
// of them. It records each sequence's loss and returns the gradients of their last hidden states. In stage 1 it keeps
// the states as the teacher's. The caller owns the result, also with an error.
func (s *scorer) lossByChunks(ctx context.Context, program *llama.HeadProgram, g *group, last llama.States, alpha float64) (llama.States, error) {
	c := s.model.Config()
	hidden, err := last.Download(c, g.sequences)
	if err != nil {
		return nil, err
	}
	in := lossInput{sequences: g.sequences, student: hidden, uniform: s.uniform(g)}
	if program == s.stage2 {
		in.teacher, in.alpha = g.teacher, alpha
	} else if s.criterion.stages > 1 {
		g.teacher = hidden
	}
	var gradients [][]float32
	if g.losses, gradients, err = headLoss(ctx, s.model, program, s.head, in); err != nil {
		return nil, err
	}
	dy := make(llama.States, len(g.sequences))
	for i, values := range gradients {
		if dy[i], err = s.uploadPadded(values, len(g.sequences[i])); err != nil {
			return dy, err
		}
	}
	return dy, nil
}

// lossBySequence is lossByChunks for devices with enough memory for the logits of whole sequences. Hidden states and gradients
// stay on the device.
func (s *scorer) lossBySequence(ctx context.Context, program *llama.HeadProgram, g *group, last llama.States, alpha float64) (llama.States, error) {
	withTeacher, hidden := program == s.stage2, s.model.Config().HiddenSize
	dy := make(llama.States, len(g.sequences))
	g.losses = make([]Loss, len(g.sequences))
	teacher, uniform := g.teacher, s.uniform(g)
	if !withTeacher {
		g.teacher = make([][]float32, len(g.sequences))
	}
	return dy, s.each(ctx, len(g.sequences), func(i int) (func() error, error) {
		tokens := g.sequences[i]
		rows := newLossRows(llama.PadLength(len(tokens)), 0, false, uniform != nil) // no host memory for states, which are on the device
		for t := range tokens {
			rows.place(lossInput{sequences: g.sequences, uniform: uniform}, i, t, alpha)
		}
		var x *tensors.Tensor
		var err error
		if withTeacher {
			if x, err = s.uploadPadded(teacher[i], len(tokens)); err != nil {
				return nil, err
			}
			defer llama.Release(x)
		} else if s.criterion.stages > 1 {
			if g.teacher[i], err = llama.Download[float32](last[i]); err != nil {
				return nil, err
			}
			g.teacher[i] = g.teacher[i][:len(tokens)*hidden]
		}
		results, err := rows.compute(s.model, program, s.head, last[i], x)
		if err != nil {
			return nil, err
		}
		dy[i] = results[0]
		defer llama.Release(results[1:]...)
		entropy, err := llama.Download[float32](results[1])
		if err != nil {
			return nil, err
		}
		var kl []float32
		if withTeacher {
			if kl, err = llama.Download[float32](results[2]); err != nil {
				return nil, err
			}
		}
		var loss Loss
		for t := range tokens {
			if t < rows.labelled(len(tokens)) {
				loss.CrossEntropy += float64(entropy[t])
			}
			if withTeacher {
				loss.KL += float64(kl[t])
			}
		}
		loss.divide(len(tokens), rows.labelled(len(tokens)))
		g.losses[i] = loss
		return func() error { return nil }, nil
	})
}

// uploadPadded copies a sequence's values, float32[tokens, e], to the device, and pads them with zeros.
func (s *scorer) uploadPadded(values []float32, tokens int) (*tensors.Tensor, error) {
	hidden, length := s.model.Config().HiddenSize, llama.PadLength(tokens)
	if length > tokens {
		padded := make([]float32, length*hidden)
		copy(padded, values)
		values = padded
	}
	return s.model.Upload(values, length, hidden)
}

// uniform returns the random numbers that draw the labels of a group, float32[tokens] for each sequence, or nil if the text's
// tokens are the labels. They depend only on the seed and on the places of the sequence in the text and of the token in the
// sequence. The size of a batch therefore changes no draw.
func (s *scorer) uniform(g *group) [][]float32 {
	if !s.criterion.drawn {
		return nil
	}
	all := make([][]float32, len(g.sequences))
	for i, tokens := range g.sequences {
		source := rand.NewPCG(s.recipe.Seed, uint64(g.first+i))
		all[i] = make([]float32, len(tokens))
		for t := range all[i] {
			all[i][t] = float32(source.Uint64()>>40) / (1 << 24) // the 24 bits that fit a float32 below 1
		}
	}
	return all
}
