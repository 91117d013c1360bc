package recover

import (
	"math"

	. "github.com/gomlx/gomlx/pkg/core/graph" //nolint:staticcheck // gomlx graph code reads as formulas
	"github.com/gomlx/gomlx/pkg/core/tensors"

	"prunellm/models/llama"
)

// Figures are the losses of sequences.
type Figures struct {
	KL           float64 `json:"kl"`            // KL(dense || pruned), nats per token
	CrossEntropy float64 `json:"cross_entropy"` // nats per token; its exponential is the perplexity
}

// Perplexity returns the exponential of the cross entropy.
func (f Figures) Perplexity() float64 { return math.Exp(f.CrossEntropy) }

func (f Figures) finite() bool {
	sum := f.KL + f.CrossEntropy
	return !math.IsNaN(sum) && !math.IsInf(sum, 0)
}

// lossHead runs the head over chunks of tokens, so that logits never exist for all of them. It belongs to one goroutine.
type lossHead struct {
	model    *llama.Model
	head     *llama.Head
	gradient *llama.HeadProgram // the first result is the gradient of the hidden states
	figures  *llama.HeadProgram // without the gradient
	share    float64            // of cross entropy
}

func newLossHead(m *llama.Model, head *llama.Head, share float64) (*lossHead, error) {
	l := &lossHead{model: m, head: head, share: share}
	type parts struct {
		trace            *llama.HeadTrace
		student, teacher llama.Distribution
		target           llama.Target
	}
	build := func(h *llama.HeadBlock, args []*Node) (p parts, kl, entropy *Node) {
		p.trace = llama.HeadForward(m.Config(), h, args[0])
		p.student = llama.NewDistribution(p.trace.Logits)
		p.teacher = llama.NewDistribution(llama.HeadForward(m.Config(), h, args[1]).Logits)
		p.target = p.trace.Target(h, args[2])
		return p, Reshape(p.teacher.KL(p.student), -1), Reshape(Sub(p.student.LogSum, p.target.Logits), -1)
	}
	var err error
	l.gradient, err = m.HeadProgram("recovery loss", func(h *llama.HeadBlock, args []*Node) []*Node {
		p, kl, entropy := build(h, args)
		weightKL, weight := args[3], args[4]
		// d KL / d logits = student - teacher; d CE / d logits = student - onehot.
		gradient, ofTarget := p.student.Weighted(weightKL), (*Node)(nil)
		if share > 0 {
			gradient, ofTarget = p.student.Weighted(Add(weightKL, weight)), p.target.Gradient(Neg(weight))
		}
		gradient = Sub(gradient, p.teacher.Weighted(weightKL))
		return []*Node{llama.HeadBackward(h, p.trace, gradient, ofTarget), kl, entropy}
	})
	if err != nil {
		return nil, err
	}
	l.figures, err = m.HeadProgram("recovery figures", func(h *llama.HeadBlock, args []*Node) []*Node {
		_, kl, entropy := build(h, args)
		return []*Node{kl, entropy}
	})
	return l, err
}

// run takes the last hidden states of one sequence, of student and teacher, float32[tokens, e]. Further rows are padding. It
// returns the figures and, if wanted, the gradient of the loss with respect to the student's states, float32[rows of student,
// e].
func (l *lossHead) run(tokens []int32, student, teacher []float32, wantGradient bool) (f Figures, gradient []float32, err error) {
	size, chunk := l.model.Config().HiddenSize, llama.BudgetOf(l.model.Backend()).HeadChunk(l.model.Config())
	program := l.figures
	if wantGradient {
		program, gradient = l.gradient, make([]float32, len(student))
	}
	for from := 0; from < len(tokens); from += chunk {
		to := min(from+chunk, len(tokens))
		results, err := l.chunk(program, tokens, student, teacher, from, to, chunk)
		if err != nil {
			return f, nil, err
		}
		if wantGradient {
			copy(gradient[from*size:to*size], results[0])
			results = results[1:]
		}
		for row := range to - from {
			f.KL += float64(results[0][row])
			if from+row+1 < len(tokens) {
				f.CrossEntropy += float64(results[1][row])
			}
		}
	}
	f.KL /= float64(len(tokens))
	f.CrossEntropy /= float64(len(tokens) - 1)
	return f, gradient, nil
}

// chunk runs the tokens [from, to) in chunks of a fixed number of rows and downloads the results.
func (l *lossHead) chunk(program *llama.HeadProgram, tokens []int32, student, teacher []float32, from, to, rows int) (
	values [][]float32, err error) {
	size := l.model.Config().HiddenSize
	part := func(all []float32) []float32 {
		if to-from == rows {
			return all[from*size : to*size]
		}
		padded := make([]float32, rows*size)
		copy(padded, all[from*size:to*size])
		return padded
	}
	targets, weightKL, weight := make([]int32, rows), make([]float32, rows), make([]float32, rows)
	for row := range to - from {
		weightKL[row] = float32((1 - l.share) / float64(len(tokens)))
		if next := from + row + 1; next < len(tokens) {
			targets[row], weight[row] = tokens[next], float32(l.share/float64(len(tokens)-1))
		}
	}
	var args []*tensors.Tensor
	defer func() { llama.Release(args...) }()
	for _, upload := range []func() (*tensors.Tensor, error){
		func() (*tensors.Tensor, error) { return l.model.Upload(part(student), rows, size) },
		func() (*tensors.Tensor, error) { return l.model.Upload(part(teacher), rows, size) },
		func() (*tensors.Tensor, error) { return l.model.UploadTokens(targets, rows, 1) },
		func() (*tensors.Tensor, error) { return l.model.Upload(weightKL, rows, 1) },
		func() (*tensors.Tensor, error) { return l.model.Upload(weight, rows, 1) },
	} {
		t, err := upload()
		if err != nil {
			return nil, err
		}
		args = append(args, t)
	}
	results, err := program.Run(l.head, args...)
	if err != nil {
		return nil, err
	}
	defer llama.Release(results...)
	for _, result := range results {
		host, err := llama.Download[float32](result)
		if err != nil {
			return nil, err
		}
		values = append(values, host)
	}
	return values, nil
}
