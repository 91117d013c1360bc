package prune

import (
	"context"
	"math"

	. "github.com/gomlx/gomlx/pkg/core/graph" //nolint:staticcheck // gomlx graph code reads as formulas
	"github.com/gomlx/gomlx/pkg/core/tensors"

	"prunellm/models"
	"prunellm/models/llama"
)

// Loss is what one calibration sequence lost.
type Loss struct {
	CrossEntropy float64 // nats a token, mean over the tokens that have a next one
	KL           float64 // nats a token: KL(softmax(teacher/t) || softmax(student)) summed and divided by the length; 0 in stage 1
}

// lossProgram computes the losses of tokens and their gradient with respect to the student's last hidden states.
//
// Arguments: student float32[t, e]; with a teacher, its hidden states float32[t, e]; targets int32[t, 1]; the weight of
// each token's cross entropy and (with a teacher) KL in the loss, float32[t, 1].
// Results: gradient float32[t, e], cross entropy float32[t], and (with a teacher) KL float32[t].
func lossProgram(m *llama.Model, withTeacher bool, temperature float64) (*llama.HeadProgram, error) {
	return m.HeadProgram("loss", func(h *llama.HeadBlock, args []*Node) []*Node {
		return lossGraph(m.Config(), h, args, withTeacher, temperature)
	})
}

// lossGraph is the graph of lossProgram.
func lossGraph(c models.Config, h *llama.HeadBlock, args []*Node, withTeacher bool, temperature float64) []*Node {
	trace := llama.HeadForward(c, h, args[0])
	student := llama.NewDistribution(trace.Logits)
	var teacher llama.Distribution
	if withTeacher {
		teacher = llama.NewDistribution(DivScalar(llama.HeadForward(c, h, args[1]).Logits, temperature))
		args = args[1:]
	}
	target, weight := trace.Target(h, args[1]), args[2]
	flat := func(x *Node) *Node { return Reshape(x, -1) }
	entropy := flat(Sub(student.LogSum, target.Logits))
	// d CE / d logits = softmax - onehot; d KL / d logits = softmax - teacher.
	ofTarget := target.Gradient(Neg(weight))
	if !withTeacher {
		return []*Node{llama.HeadBackward(h, trace, student.Weighted(weight), ofTarget), entropy}
	}
	weightKL := args[3]
	dLogits := Sub(student.Weighted(Add(weight, weightKL)), teacher.Weighted(weightKL))
	return []*Node{llama.HeadBackward(h, trace, dLogits, ofTarget), entropy, flat(teacher.KL(student))}
}

// lossByChunks runs the head over the tokens of all sequences of a group in chunks, so that logits never exist for all of them. It notes
// each sequence's loss and returns the gradients of their last hidden states. In stage 1 the states are kept as the teacher's. What
// it returns belongs to the caller, also with an error.
func (s *scorer) lossByChunks(ctx context.Context, program *llama.HeadProgram, g *group, last llama.States, alpha float64) (llama.States, error) {
	c := s.model.Config()
	hidden, err := last.Download(c, g.sequences)
	if err != nil {
		return nil, err
	}
	in := lossInput{sequences: g.sequences, student: hidden}
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

// lossBySequence is lossByChunks for devices that have the memory for the logits of whole sequences: hidden states and gradients stay
// there.
func (s *scorer) lossBySequence(ctx context.Context, program *llama.HeadProgram, g *group, last llama.States, alpha float64) (llama.States, error) {
	withTeacher, hidden := program == s.stage2, s.model.Config().HiddenSize
	dy := make(llama.States, len(g.sequences))
	g.losses = make([]Loss, len(g.sequences))
	teacher := g.teacher
	if !withTeacher {
		g.teacher = make([][]float32, len(g.sequences))
	}
	return dy, s.each(ctx, len(g.sequences), func(i int) (func() error, error) {
		tokens := g.sequences[i]
		rows := newLossRows(llama.PadLength(len(tokens)), 0, false) // no room for states: they are on the device
		for t := range tokens {
			rows.place(tokens, i, t, alpha)
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
			if t+1 < len(tokens) {
				loss.CrossEntropy += float64(entropy[t])
			}
			if withTeacher {
				loss.KL += float64(kl[t])
			}
		}
		loss.divide(len(tokens))
		g.losses[i] = loss
		return func() error { return nil }, nil
	})
}

// uploadPadded copies a sequence's values, float32[tokens, e], to the device, with zeros behind them.
func (s *scorer) uploadPadded(values []float32, tokens int) (*tensors.Tensor, error) {
	hidden, length := s.model.Config().HiddenSize, llama.PadLength(tokens)
	if length > tokens {
		padded := make([]float32, length*hidden)
		copy(padded, values)
		values = padded
	}
	return s.model.Upload(values, length, hidden)
}

// lossInput is the head's part of a pass over several sequences.
type lossInput struct {
	sequences [][]int32
	student   [][]float32 // float32[tokens, e] a sequence
	teacher   [][]float32 // the same, or nil in stage 1
	alpha     float64
}

// headLoss runs the head over the tokens of all sequences in chunks, so that logits never exist for all of them, and
// returns each sequence's loss and the gradient of its hidden states, float32[tokens, e].
func headLoss(ctx context.Context, m *llama.Model, program *llama.HeadProgram, head *llama.Head, in lossInput) (
	losses []Loss, gradients [][]float32, err error) {
	hidden, chunk := m.Config().HiddenSize, llama.BudgetOf(m.Backend()).HeadChunk(m.Config())
	losses = make([]Loss, len(in.sequences))
	gradients = make([][]float32, len(in.sequences))
	rows := newLossRows(chunk, hidden, in.teacher != nil)
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
		losses[i].divide(len(tokens))
	}
	return losses, gradients, nil
}

// lossRows is one chunk of tokens on its way through the head, gathered from one or more sequences.
type lossRows struct {
	used, hidden     int
	student, teacher []float32 // float32[chunk, e]
	targets          []int32   // the next token, 0 where there is none
	weight, weightKL []float32
	sequence, token  []int // where each row came from
}

func newLossRows(chunk, hidden int, withTeacher bool) *lossRows {
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
	return rows
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
	r.place(in.sequences[i], i, t, alpha)
}

// place gives the next row to token t of sequence i: its target and its weights in the loss.
func (r *lossRows) place(tokens []int32, i, t int, alpha float64) {
	row, length := r.used, len(tokens)
	r.used++
	r.sequence[row], r.token[row] = i, t
	r.weightKL[row] = float32(alpha / float64(length))
	if t+1 < length {
		r.targets[row] = tokens[t+1]
		r.weight[row] = float32((1 - alpha) / float64(length-1))
	} else {
		r.targets[row], r.weight[row] = 0, 0
	}
}

// run runs the rows and adds their losses and gradients to those of their sequences. Unused rows carry no weight.
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
		if t+1 < len(gradients[i])/r.hidden {
			losses[i].CrossEntropy += float64(values[1][row])
		}
		if r.teacher != nil {
			losses[i].KL += float64(values[2][row])
		}
	}
	r.used = 0
	return nil
}

// compute runs the program on hidden states of the student and of the teacher, nil in stage 1, with the rows' targets and weights.
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
	if err := add(m.UploadTokens(r.targets, chunk, 1)); err != nil {
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

// divide turns sums over a sequence's tokens into means.
func (l *Loss) divide(tokens int) {
	l.CrossEntropy /= float64(tokens - 1)
	l.KL /= float64(tokens)
}

// finite tells whether a loss can be used.
func (l Loss) finite() bool {
	return !math.IsNaN(l.CrossEntropy+l.KL) && !math.IsInf(l.CrossEntropy+l.KL, 0)
}
