package recover

import (
	"math"

	. "github.com/gomlx/gomlx/pkg/core/graph" //nolint:staticcheck // gomlx graph code reads as formulas
	"github.com/gomlx/gomlx/pkg/core/shapes"
	"github.com/gomlx/gomlx/pkg/core/tensors"

	"prunellm/models/llama"
)

// Figures are what sequences lose.
type Figures struct {
	KL           float64 `json:"kl"`            // KL(dense || pruned), nats a token
	CrossEntropy float64 `json:"cross_entropy"` // nats a token; its exponential is the perplexity
}

// Perplexity is the exponential of the cross entropy.
func (f Figures) Perplexity() float64 { return math.Exp(f.CrossEntropy) }

func (f Figures) finite() bool {
	sum := f.KL + f.CrossEntropy
	return !math.IsNaN(sum) && !math.IsInf(sum, 0)
}

// lossHead runs the head over chunks of tokens, so that logits never exist for all of them. It belongs to one goroutine.
type lossHead struct {
	model    *llama.Model
	head     *llama.Head
	gradient *llama.HeadProgram // with the gradient of the hidden states as first result
	figures  *llama.HeadProgram // without
	share    float64            // of cross entropy
}

func newLossHead(m *llama.Model, head *llama.Head, share float64) (*lossHead, error) {
	l := &lossHead{model: m, head: head, share: share}
	build := func(h *llama.HeadBlock, args []*Node) (trace *llama.HeadTrace, gradient, kl, entropy *Node) {
		student, teacher, targets, weightKL, weight := args[0], args[1], args[2], args[3], args[4]
		trace = llama.HeadForward(m.Config(), h, student)
		logStudent := logSoftmax(trace.Logits)
		logTeacher := logSoftmax(llama.HeadForward(m.Config(), h, teacher).Logits)
		probsTeacher := Exp(logTeacher)
		kl = ReduceSum(Mul(probsTeacher, Sub(logTeacher, logStudent)), -1)
		vocab := Iota(student.Graph(), shapes.Make(targets.DType(), trace.Logits.Shape().Dimensions...), 1)
		picked := ConvertDType(Equal(vocab, BroadcastToDims(targets, trace.Logits.Shape().Dimensions...)), student.DType())
		entropy = Neg(ReduceSum(Mul(picked, logStudent), -1))
		// d KL / d logits = student - teacher; d CE / d logits = student - onehot.
		probs := Exp(logStudent)
		gradient = Mul(Sub(probs, probsTeacher), weightKL)
		if share > 0 {
			gradient = Add(gradient, Mul(Sub(probs, picked), weight))
		}
		return trace, gradient, kl, entropy
	}
	var err error
	l.gradient, err = m.HeadProgram("recovery loss", func(h *llama.HeadBlock, args []*Node) []*Node {
		trace, gradient, kl, entropy := build(h, args)
		return []*Node{llama.HeadBackward(h, trace, gradient), kl, entropy}
	})
	if err != nil {
		return nil, err
	}
	l.figures, err = m.HeadProgram("recovery figures", func(h *llama.HeadBlock, args []*Node) []*Node {
		_, _, kl, entropy := build(h, args)
		return []*Node{kl, entropy}
	})
	return l, err
}

// logSoftmax over the last axis, shifted by the maximum.
func logSoftmax(x *Node) *Node {
	shifted := Sub(x, ReduceAndKeep(x, ReduceMax, -1))
	return Sub(shifted, Log(ReduceAndKeep(Exp(shifted), ReduceSum, -1)))
}

// run takes the hidden states of one sequence that enter the student's and the teacher's head, float32[tokens, e] or
// more rows, which are padding. It returns the figures and, if wanted, the gradient of the loss with respect to the
// student's, float32[rows of student, e].
func (l *lossHead) run(tokens []int32, student, teacher []float32, wantGradient bool) (f Figures, gradient []float32, err error) {
	size, chunk := l.model.Config().HiddenSize, llama.HeadChunk(l.model.Config())
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

// chunk runs the tokens [from, to) in rows of a fixed number and brings the results to the host.
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
