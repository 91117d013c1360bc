package prune

import (
	"context"

	"github.com/gomlx/gomlx/pkg/core/tensors"

	"prunellm/models/llama"
)

// lossInput holds the arguments of the head for several sequences.
type lossInput struct {
	sequences [][]int32
	student   [][]float32 // float32[tokens, e] per sequence
	teacher   [][]float32 // the same, or nil in stage 1
	uniform   [][]float32 // numbers that draw the labels, float32[tokens] per sequence; nil: the next token is the label
	alpha     float64
}

// headLoss returns each sequence's loss and the gradient of its hidden states, float32[tokens, e]. It runs the head over the
// tokens of all sequences in chunks, so that the logits of all of them never exist at the same time.
func headLoss(ctx context.Context, m *llama.Model, program *llama.HeadProgram, head *llama.Head, in lossInput) (
	losses []Loss, gradients [][]float32, err error) {
	hidden, chunk := m.Config().HiddenSize, llama.BudgetOf(m.Backend()).HeadChunk(m.Config())
	losses = make([]Loss, len(in.sequences))
	gradients = make([][]float32, len(in.sequences))
	rows := newLossRows(chunk, hidden, in.teacher != nil, in.uniform != nil)
	flush := func() error {
		if rows.used == 0 {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		return rows.run(m, program, head, losses, gradients)
	}
	for i, tokens := range in.sequences {
		gradients[i] = make([]float32, len(tokens)*hidden)
		for t := range tokens {
			rows.add(in, i, t)
			if rows.used == chunk {
				if err := flush(); err != nil {
					return nil, nil, err
				}
			}
		}
	}
	if err := flush(); err != nil {
		return nil, nil, err
	}
	for i, tokens := range in.sequences {
		losses[i].divide(len(tokens), rows.labelled(len(tokens)))
	}
	return losses, gradients, nil
}

// lossRows is one chunk of tokens for the head, gathered from one or more sequences.
type lossRows struct {
	used, hidden     int
	student, teacher []float32 // float32[chunk, e]
	targets          []int32   // the next token, 0 without one
	uniform          []float32 // numbers that draw the labels instead; nil: targets are the labels
	weight, weightKL []float32
	sequence, token  []int // origin of each row
}

func newLossRows(chunk, hidden int, withTeacher, drawn bool) *lossRows {
	rows := &lossRows{
		hidden:   hidden,
		student:  make([]float32, chunk*hidden),
		targets:  make([]int32, chunk),
		weight:   make([]float32, chunk),
		weightKL: make([]float32, chunk),
		sequence: make([]int, chunk),
		token:    make([]int, chunk),
	}
	if withTeacher {
		rows.teacher = make([]float32, chunk*hidden)
	}
	if drawn {
		rows.uniform = make([]float32, chunk)
	}
	return rows
}

// labelled returns how many of a sequence's tokens have a label: all if labels are drawn, otherwise all but the last.
func (r *lossRows) labelled(length int) int {
	if r.uniform != nil {
		return length
	}
	return length - 1
}

// add puts token t of sequence i into the next row.
func (r *lossRows) add(in lossInput, i, t int) {
	row := r.used
	copy(r.student[row*r.hidden:], in.student[i][t*r.hidden:(t+1)*r.hidden])
	alpha := 0.0
	if r.teacher != nil {
		alpha = in.alpha
		copy(r.teacher[row*r.hidden:], in.teacher[i][t*r.hidden:(t+1)*r.hidden])
	}
	r.place(in, i, t, alpha)
}

// place assigns the next row to token t of sequence i: its label and its weights in the loss.
func (r *lossRows) place(in lossInput, i, t int, alpha float64) {
	tokens, row := in.sequences[i], r.used
	r.used++
	r.sequence[row], r.token[row] = i, t
	r.weightKL[row] = float32(alpha / float64(len(tokens)))
	r.targets[row], r.weight[row] = 0, 0
	if labelled := r.labelled(len(tokens)); t < labelled {
		r.weight[row] = float32((1 - alpha) / float64(labelled))
	}
	if r.uniform != nil {
		r.uniform[row] = in.uniform[i][t]
	} else if t+1 < len(tokens) {
		r.targets[row] = tokens[t+1]
	}
}

// run computes the rows and adds their losses and gradients to those of their sequences. Unused rows have weight zero.
func (r *lossRows) run(m *llama.Model, program *llama.HeadProgram, head *llama.Head, losses []Loss, gradients [][]float32) error {
	chunk := len(r.targets)
	clear(r.weight[r.used:])
	clear(r.weightKL[r.used:])
	student, err := m.Upload(r.student, chunk, r.hidden)
	if err != nil {
		return err
	}
	defer llama.Release(student)
	var teacher *tensors.Tensor
	if r.teacher != nil {
		if teacher, err = m.Upload(r.teacher, chunk, r.hidden); err != nil {
			return err
		}
		defer llama.Release(teacher)
	}
	results, err := r.compute(m, program, head, student, teacher)
	if err != nil {
		return err
	}
	defer llama.Release(results...)
	values := make([][]float32, len(results))
	for i, result := range results {
		if values[i], err = llama.Download[float32](result); err != nil {
			return err
		}
	}
	for row := range r.used {
		i, t := r.sequence[row], r.token[row]
		copy(gradients[i][t*r.hidden:(t+1)*r.hidden], values[0][row*r.hidden:])
		if t < r.labelled(len(gradients[i])/r.hidden) {
			losses[i].CrossEntropy += float64(values[1][row])
		}
		if r.teacher != nil {
			losses[i].KL += float64(values[2][row])
		}
	}
	r.used = 0
	return nil
}

// compute runs the program on hidden states of the student and of the teacher, nil in stage 1, with the rows' labels
// and weights.
func (r *lossRows) compute(m *llama.Model, program *llama.HeadProgram, head *llama.Head, student, teacher *tensors.Tensor) ([]*tensors.Tensor, error) {
	chunk := len(r.targets)
	args, owned := []*tensors.Tensor{student}, []*tensors.Tensor(nil)
	defer func() { llama.Release(owned...) }()
	if teacher != nil {
		args = append(args, teacher)
	}
	add := func(t *tensors.Tensor, err error) error {
		if err == nil {
			args, owned = append(args, t), append(owned, t)
		}
		return err
	}
	labels := func() (*tensors.Tensor, error) { return m.UploadTokens(r.targets, chunk, 1) }
	if r.uniform != nil {
		labels = func() (*tensors.Tensor, error) { return m.Upload(r.uniform, chunk, 1) }
	}
	if err := add(labels()); err != nil {
		return nil, err
	}
	if err := add(m.Upload(r.weight, chunk, 1)); err != nil {
		return nil, err
	}
	if teacher != nil {
		if err := add(m.Upload(r.weightKL, chunk, 1)); err != nil {
			return nil, err
		}
	}
	return program.Run(head, args...)
}
