package prune

import (
	"math"

	. "github.com/gomlx/gomlx/pkg/core/graph" //nolint:staticcheck // gomlx graph code reads as formulas

	"prunellm/models"
	"prunellm/models/llama"
)

// Loss is the loss of one calibration sequence.
type Loss struct {
	CrossEntropy float64 // nats per token, mean over the tokens that have a label
	KL           float64 // nats per token: mean of KL(softmax(teacher/t) || softmax(student)) over the sequence; 0 in stage 1
}

// lossKind selects the loss of a program.
type lossKind struct {
	drawn       bool    // draw labels from the student's own predictions; false: they are arguments
	teacher     bool    // with the KL divergence from a teacher
	temperature float64 // divides the teacher's logits
}

// lossProgram computes the losses of tokens and their gradient with respect to the student's last hidden states.
//
// The first argument is student float32[t, e]; with a teacher, its hidden states float32[t, e] follow. The next one is labels
// int32[t, 1] or, if the program draws them, a number in [0, 1) for each token, float32[t, 1]. Then comes the weight of each
// token's cross entropy in the loss, float32[t, 1], and with a teacher the weight of its KL. Results: gradient float32[t, e], cross
// entropy float32[t] and, with a teacher, KL float32[t].
func lossProgram(m *llama.Model, kind lossKind) (*llama.HeadProgram, error) {
	return m.HeadProgram("loss", func(h *llama.HeadBlock, args []*Node) []*Node {
		return lossGraph(m.Config(), h, args, kind)
	})
}

// lossGraph is the graph of lossProgram. A drawn label is a constant to the gradient.
func lossGraph(c models.Config, h *llama.HeadBlock, args []*Node, kind lossKind) []*Node {
	trace := llama.HeadForward(c, h, args[0])
	student := llama.NewDistribution(trace.Logits)
	var teacher llama.Distribution
	if kind.teacher {
		teacher = llama.NewDistribution(DivScalar(llama.HeadForward(c, h, args[1]).Logits, kind.temperature))
		args = args[1:]
	}
	labels, weight := args[1], args[2]
	if kind.drawn {
		labels = student.Draw(labels)
	}
	target := trace.Target(h, labels)
	flat := func(x *Node) *Node { return Reshape(x, -1) }
	entropy := flat(Sub(student.LogSum, target.Logits))
	// d CE / d logits = softmax - onehot; d KL / d logits = softmax - teacher.
	ofTarget := target.Gradient(Neg(weight))
	if !kind.teacher {
		return []*Node{llama.HeadBackward(h, trace, student.Weighted(weight), ofTarget), entropy}
	}
	weightKL := args[3]
	dLogits := Sub(student.Weighted(Add(weight, weightKL)), teacher.Weighted(weightKL))
	return []*Node{llama.HeadBackward(h, trace, dLogits, ofTarget), entropy, flat(teacher.KL(student))}
}

// divide converts sums over a sequence's tokens, and over those with a label, to means.
func (l *Loss) divide(tokens, labelled int) {
	l.CrossEntropy /= float64(labelled)
	l.KL /= float64(tokens)
}

// finite reports whether a loss is neither NaN nor infinite.
func (l Loss) finite() bool {
	return !math.IsNaN(l.CrossEntropy+l.KL) && !math.IsInf(l.CrossEntropy+l.KL, 0)
}
